//! The source seam: the control plane's git.
//!
//! Nothing here ever runs git in a folder a sandbox has written, nor opens a path in one. Work
//! enters through [`Source::take_in`] as a bundle, and everything after that happens in a
//! quarantine repository of the run.

mod hosted;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pullwright_protocol::forge::ForgeCredential;
use pullwright_protocol::{FailureKind, RunId};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

pub use hosted::{HostedChange, Tip, Unfit};

/// The control plane's git.
#[async_trait]
pub trait Source: Send + Sync {
    /// Checks a repository URL against the policy, without any network access.
    fn accept(&self, url: &str) -> Result<Repository, SourceError>;

    /// Brings the mirror up to date and fixes the base commit. The remote is asked first, with the credential
    /// that is given, whatever the mirror holds.
    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Base, SourceError>;

    /// The base at a commit, if the mirror holds it. Nobody is asked who may see it, so it is for saving what
    /// a run has made of it before, and for nothing else.
    async fn known(
        &self,
        repository: &Repository,
        branch: &str,
        commit: &str,
    ) -> Result<Option<Base>, SourceError>;

    /// Makes a clean checkout of `commit` (the base, or work taken in) at `into`, which must not
    /// exist. It has a `.git` of its own, with the base branch's history, no remote and no hooks,
    /// and `HEAD` is the base commit on a branch named like the base branch; the work's changes are
    /// in the working tree only, and its objects in the repository.
    async fn checkout(
        &self,
        base: &Base,
        work: Option<&Work>,
        files: CheckoutFiles,
        into: &Path,
    ) -> Result<(), SourceError>;

    /// Takes work out of a sandbox: reads a git bundle, checks it in quarantine, applies the policy.
    async fn take_in(
        &self,
        run: &RunId,
        base: &Base,
        bundle: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Work, SourceError>;

    /// Finds work again that was taken in before, perhaps on another machine: by its tree, or else from
    /// its patch, whose tree is another where the patch did not hold everything. Without a tree it is the
    /// patch that counts, since the base may be another one than it was made on.
    async fn restore(
        &self,
        run: &RunId,
        base: &Base,
        tree: Option<&str>,
        patch: &[u8],
    ) -> Result<Work, SourceError>;

    /// Brings work that was made on `base` onto another commit of the same repository, by a three-way merge
    /// of trees in the quarantine. Nothing is changed where that is not clean.
    async fn bring_onto(
        &self,
        base: &Base,
        work: &Work,
        onto: &Base,
    ) -> Result<Brought, SourceError>;

    /// Rebuilds the work as one commit of our own identity and pushes it with a lease.
    async fn push(&self, push: Push<'_>) -> Result<Pushed, SourceError>;

    /// The work as the files of one commit, for a code host that makes the commit itself, or why none can be made
    /// of it so. Nobody is asked.
    async fn as_files(&self, push: Push<'_>) -> Result<Result<HostedChange, Unfit>, SourceError>;

    /// Looks at the branch; an error if it has other work than the push expects.
    async fn look(&self, push: Push<'_>) -> Result<Tip, SourceError>;

    /// Makes the branch, at the commit that the work is put on, if it is not there.
    async fn begin(&self, push: Push<'_>) -> Result<Tip, SourceError>;

    /// Looks whether the branch is at `commit`, which the code host has made, and whether that is this very work, or
    /// how it differs. An error that passes where the branch is still where it was.
    async fn made(
        &self,
        push: Push<'_>,
        commit: &str,
    ) -> Result<Result<Pushed, String>, SourceError>;

    /// Removes a branch that [`Source::begin`] has made, if nothing came onto it.
    async fn take_back(&self, push: Push<'_>) -> Result<(), SourceError>;

    /// Removes what a run left on the control plane.
    async fn discard(&self, run: &RunId) -> Result<(), SourceError>;
}

/// A repository that the policy allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The URL as git takes it, without credentials.
    pub url: String,
    /// Scheme, host and port, such as `https://github.com`; absent for a local path.
    pub origin: Option<String>,
    /// Host, with the port where one is written, such as `github.com`; absent for a local path.
    pub host: Option<String>,
    /// The path's parts without `.git`, such as `["owner", "repo"]`.
    pub path: Vec<String>,
}

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The base branch; the remote's default branch if absent.
    pub branch: Option<&'a str>,
    /// The base commit to go on from; the branch's newest if absent.
    pub commit: Option<&'a str>,
    /// A commit of which [`Source::bring_onto`] will be asked whether the base follows it; of a history that is
    /// cut off, as much is fetched as tells.
    pub since: Option<&'a str>,
    /// What to authenticate with, if anything.
    pub credential: Option<&'a ForgeCredential>,
}

/// A fixed base: where a run starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The repository.
    pub repository: Repository,
    /// The base branch.
    pub branch: String,
    /// The base commit.
    pub commit: String,
    /// The base commit's tree.
    pub tree: String,
    /// The mirror that holds it.
    pub mirror: PathBuf,
}

/// What a checkout holds of the files in its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutFiles {
    /// All of them, written.
    Written,
    /// None: they are written where the checkout is sent to, from the pack in its repository.
    Packed,
}

/// Work that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The resulting tree, computed by the control plane.
    pub tree: String,
    /// The changed paths, sorted.
    pub changed: Vec<ChangedPath>,
    /// The change as a patch that `git apply` takes, binary files included.
    pub patch: Vec<u8>,
    /// Why the policy forbids pushing it; empty when it may be pushed.
    pub refusals: Vec<String>,
    /// What whoever reads the pull request should know of it, one sentence each.
    #[serde(default)]
    pub notices: Vec<String>,
    /// The quarantine repository that holds it.
    pub quarantine: PathBuf,
}

/// What came of bringing work onto another commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Whether the branch still holds the commit that the work was made on; none if its history is cut off before
    /// that can be seen (see [`Fetch::since`]).
    pub follows: Option<bool>,
    /// The work there, or the paths that are in the way, sorted.
    pub work: Result<Work, Vec<String>>,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedPath {
    /// The path; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// `A` added, `M` modified, `D` deleted, `T` type changed.
    pub status: char,
}

/// What to push.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Where the work started.
    pub base: &'a Base,
    /// The work.
    pub work: &'a Work,
    /// What is pushed instead, where the base branch has moved.
    pub moved: Option<Moved<'a>>,
    /// The repository to push to, where that is not the base's.
    pub to: Option<&'a Repository>,
    /// The branch to push to.
    pub branch: &'a str,
    /// Whether the branch is there already, at the base commit, and grows by this work; else it must not
    /// exist yet. The lease is on that.
    pub grows: bool,
    /// The commits at which this run may have made the branch already; none where it has not.
    pub begun_at: &'a [String],
    /// The commit message.
    pub message: &'a str,
    /// What to authenticate with, if anything.
    pub credential: Option<&'a ForgeCredential>,
}

/// Work that was brought onto another commit.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The commit.
    pub onto: &'a Base,
    /// The work there.
    pub work: &'a Work,
    /// Whether it is pushed as a commit on the base and one that merges the other commit into it, and not
    /// as a commit on the other one.
    pub merges: bool,
}

/// A pushed branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: String,
}

/// Why the control plane's git could not do something.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What kind of thing happened: bad request, repository, clone, credential, export, push,
    /// limit or internal.
    pub kind: FailureKind,
    /// What happened, to which thing, and what to do. Holds no credential.
    pub message: String,
    /// Whether the same may succeed a little later: the remote broke, or the way to it.
    pub passes: bool,
    is_missing_branch: bool,
}

impl SourceError {
    /// An error of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            passes: false,
            is_missing_branch: false,
        }
    }

    /// The same error as one that may pass, or may not.
    #[must_use]
    pub fn passing(self, passes: bool) -> Self {
        Self { passes, ..self }
    }

    /// The same error as one that says of a repository which was read that it has no such branch.
    #[must_use]
    pub fn missing_branch(self) -> Self {
        Self {
            is_missing_branch: true,
            ..self
        }
    }

    /// Whether the repository was read and has no such branch.
    #[must_use]
    pub fn is_missing_branch(&self) -> bool {
        self.is_missing_branch
    }
}

impl Work {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }
}

/// Reads files of the base commit from the mirror: trusted bytes, and no path is ever opened.
#[async_trait]
pub trait RepositoryFiles: Send + Sync {
    /// The paths of all files of the base commit, sorted; at most `limit` of them.
    async fn paths(&self, base: &Base, limit: usize) -> Result<Vec<String>, SourceError>;

    /// The first `max_bytes` of a regular file of the base commit, if it exists.
    async fn read(
        &self,
        base: &Base,
        path: &str,
        max_bytes: usize,
    ) -> Result<Option<Vec<u8>>, SourceError>;

    /// What a checkout of the base commit will not have, one sentence each; nothing unless it is known.
    async fn notices(&self, _base: &Base) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
}

//! The mirror: a bare cache of one repository, brought up to date branch by branch.
//!
//! The remote is asked first, with the caller's own credential, whatever the cache holds and whichever
//! commit is wanted, so that nobody gets from the cache what the remote would refuse, nor learns from an
//! answer or from the time it takes what is there. Objects are fetched only when the branch moved.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, Fetch, Repository, SourceError};
use pullwright_protocol::FailureKind;
use sha2::{Digest, Sha256};

use crate::failure::Doing;
use crate::git::Call;
use crate::remote::Remote;
use crate::source::GitSource;
use crate::transfer::{self, Transfer};
use crate::{clone_mode, contents, damage, history, kept_pack, objects, refname, shelf};

/// How much of a hash names a mirror or a branch's reference, in bytes.
const NAME_HASH_BYTES: usize = 12;

/// How often a fetch is tried while the mirror looks damaged: once more, anew, and anew after somebody else's.
const MAX_FILLS: usize = 4;

/// The commit of a branch that is asked for.
#[derive(Clone)]
enum Wanted {
    /// This one, which must be its newest.
    Tip(String),
    /// This one, wherever it is by now.
    Commit(String),
    /// Its newest, whichever that is.
    Any,
}

/// A branch of the remote and the commit it is at.
struct Tip {
    branch: String,
    commit: String,
}

pub(crate) async fn fetch(source: &GitSource, fetch: Fetch<'_>) -> Result<Base, SourceError> {
    if let Some(branch) = fetch.branch {
        refname::check(branch)?;
    }
    let config = source.config();
    let mirror = path(&config.data_dir, fetch.repository, config.clone_mode);
    shelf::note_use(&mirror);
    let remote = source.remote(fetch.repository, fetch.credential).await?;
    let tip = ask(source, &remote, fetch.branch).await?;
    // The branch may be gone by now; a run that goes on from a commit is none the worse for it.
    if let Some(base) = known(source, fetch, &mirror).await {
        return Ok(base);
    }
    let tip = tip.ok_or_else(|| no_branch(&remote.url, fetch.branch))?;
    let order = Order {
        source,
        fetch,
        remote: &remote,
        tip: &tip,
        mirror: &mirror,
    };
    order.fill_whole().await
}

/// The base of a run that goes on from a commit, if it is here and whole. What is wrong with it otherwise is found
/// again, and mended, by the fetch that follows.
async fn known(source: &GitSource, fetch: Fetch<'_>, mirror: &Path) -> Option<Base> {
    let wanted = Wanted::Commit(fetch.commit?.to_owned());
    let base = base(fetch.repository, fetch.branch?, mirror, wanted).await;
    let base = base.ok().flatten()?;
    kept_pack::prepare(source, &base).await.ok()?;
    Some(base)
}

/// A fetch, once the remote has said where the branch is.
struct Order<'o> {
    source: &'o GitSource,
    fetch: Fetch<'o>,
    remote: &'o Remote<'o>,
    tip: &'o Tip,
    mirror: &'o Path,
}

impl Order<'_> {
    /// Fills the mirror, and anew where it is damaged: killed in the middle of a write, or cut off by a full disk.
    /// To one run what another writes or throws away at that moment looks the same, so that a mirror is thrown
    /// away only when it has failed twice, the second time after everybody who wrote it was done.
    async fn fill_whole(&self) -> Result<Base, SourceError> {
        let mut suspect = None;
        for _ in 1..MAX_FILLS {
            let seen = shelf::generation(self.mirror);
            let error = match self.fill().await {
                Err(error) if damage::is_likely(&error) => error,
                filled => return filled,
            };
            if suspect == Some(seen) {
                tracing::warn!(mirror = %self.mirror.display(), %error, "a damaged mirror is fetched anew");
                shelf::throw_away(self.source, self.mirror, seen).await?;
            } else {
                let limit = self.source.config().timeouts.fetch;
                drop(self.source.locks().hold(self.mirror, limit).await?);
            }
            suspect = Some(seen);
        }
        self.fill().await
    }

    /// Answers the base, from which a checkout can be made.
    async fn fill(&self) -> Result<Base, SourceError> {
        let base = self.find_or_bring().await?;
        if let Some(since) = self.fetch.since {
            history::settle(&self.transfer(), since, &base.commit).await?;
        }
        contents::complete(&self.transfer(), &base).await?;
        // Reads every object of it, while there is somebody to ask for what is missing.
        kept_pack::prepare(self.source, &base).await?;
        Ok(base)
    }

    async fn find_or_bring(&self) -> Result<Base, SourceError> {
        let wanted = match self.fetch.commit {
            Some(commit) => Wanted::Commit(commit.to_owned()),
            None => Wanted::Tip(self.tip.commit.clone()),
        };
        if let Some(base) = self.find(wanted.clone()).await? {
            return Ok(base);
        }
        let source = self.source;
        let limit = source.config().timeouts.fetch;
        let held = source.locks().hold(self.mirror, limit).await?;
        if let Some(base) = self.find(wanted.clone()).await? {
            return Ok(base);
        }
        self.bring().await?;
        drop(held);
        let brought = match wanted {
            Wanted::Commit(_) => self.find(wanted).await?,
            // It may have moved since it was asked for.
            Wanted::Tip(_) | Wanted::Any => self.find(Wanted::Any).await?,
        };
        brought.ok_or_else(|| not_brought(self.fetch, self.tip, &self.remote.url))
    }

    /// Fetches what is wanted. The mirror's lock is held.
    async fn bring(&self) -> Result<(), SourceError> {
        let transfer = self.transfer();
        let elsewhere = self
            .fetch
            .commit
            .filter(|commit| *commit != self.tip.commit);
        let is_shallow = clone_mode::of(self.mirror) == CloneMode::Shallow;
        if let Some(commit) = elsewhere.filter(|_| is_shallow) {
            match transfer.commit(commit).await? {
                transfer::Brought::Here | transfer::Brought::NotThere => return Ok(()),
                transfer::Brought::Refused => {}
            }
        }
        let branch = &self.tip.branch;
        let refspec = format!("+refs/heads/{branch}:{}", keeper(branch));
        transfer.branch(&refspec).await?;
        let brought = self.find(Wanted::Any).await?;
        match (elsewhere, brought) {
            (Some(commit), Some(newest)) if is_shallow => {
                history::deepen(&transfer, commit, &newest.commit).await
            }
            _ => Ok(()),
        }
    }

    fn transfer(&self) -> Transfer<'_> {
        Transfer {
            source: self.source,
            remote: self.remote,
            mirror: self.mirror,
        }
    }

    async fn find(&self, wanted: Wanted) -> Result<Option<Base>, SourceError> {
        base(self.fetch.repository, &self.tip.branch, self.mirror, wanted).await
    }
}

/// The base at a commit of a branch, if a mirror below `data_dir` (see [`SourceConfig`]) holds it, however it was
/// cloned. No remote is asked, so this is for whoever may read that folder anyway.
///
/// [`SourceConfig`]: crate::SourceConfig
///
/// # Errors
/// When the mirror is broken.
pub async fn mirrored(
    data_dir: &Path,
    repository: &Repository,
    branch: &str,
    commit: &str,
) -> Result<Option<Base>, SourceError> {
    refname::check(branch)?;
    in_mirrors(data_dir, repository, branch, commit, &CloneMode::ALL).await
}

/// The same for a source, which looks first where it would fetch to.
pub(crate) async fn known_to(
    source: &GitSource,
    repository: &Repository,
    branch: &str,
    commit: &str,
) -> Result<Option<Base>, SourceError> {
    refname::check(branch)?;
    let own = source.config().clone_mode;
    let others = CloneMode::ALL.into_iter().filter(|mode| *mode != own);
    let modes: Vec<CloneMode> = std::iter::once(own).chain(others).collect();
    let data_dir = &source.config().data_dir;
    in_mirrors(data_dir, repository, branch, commit, &modes).await
}

/// In the first of the mirrors that has the commit and its files; else in one that has the commit.
async fn in_mirrors(
    data_dir: &Path,
    repository: &Repository,
    branch: &str,
    commit: &str,
    modes: &[CloneMode],
) -> Result<Option<Base>, SourceError> {
    let mut lacking = None;
    for mode in modes {
        let mirror = path(data_dir, repository, *mode);
        let wanted = Wanted::Commit(commit.to_owned());
        let Some(base) = base(repository, branch, &mirror, wanted).await? else {
            continue;
        };
        if matches!(contents::is_complete(&base).await, Ok(true)) {
            return Ok(Some(base));
        }
        lacking = lacking.or(Some(base));
    }
    Ok(lacking)
}

fn not_brought(fetch: Fetch<'_>, tip: &Tip, url: &str) -> SourceError {
    let branch = &tip.branch;
    match fetch.commit {
        Some(commit) => SourceError::new(
            FailureKind::Repository,
            format!(
                "commit {commit}, from which the run goes on, is no longer in branch `{branch}` of \
                 `{url}`; start the run again"
            ),
        ),
        None => SourceError::new(
            FailureKind::Clone,
            format!("fetching `{branch}` from `{url}` brought no commit"),
        ),
    }
}

/// Where the mirror of a repository lives that is cloned so.
fn path(data_dir: &Path, repository: &Repository, mode: CloneMode) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = repository
        .path
        .last()
        .map_or("", String::as_str)
        .chars()
        .map(plain)
        .collect();
    let name: String = name.chars().take(40).collect();
    let stem = format!("{name}-{}", hash(&repository.url));
    data_dir
        .join("mirrors")
        .join(clone_mode::file_name(&stem, mode))
}

/// The reference that keeps a branch. Flat, so that a branch `a` never is in the way of `a/b`.
fn keeper(branch: &str) -> String {
    format!("refs/pullwright/{}", hash(branch))
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(NAME_HASH_BYTES)
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Asks the remote where the wanted branch, or its default branch, is; an error where it may not be read.
async fn ask(
    source: &GitSource,
    remote: &Remote<'_>,
    wanted: Option<&str>,
) -> Result<Option<Tip>, SourceError> {
    let pattern = wanted.map_or("HEAD".to_owned(), |branch| format!("refs/heads/{branch}"));
    let args = ["ls-remote", "--symref", "--", &remote.url, &pattern];
    let call = Call::new(source.config().timeouts.ask, args);
    let output = remote.run(call, Doing::Asking).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let branch = match wanted {
        Some(branch) => Some(branch),
        None => text.lines().find_map(|line| {
            line.strip_prefix("ref: refs/heads/")?
                .strip_suffix("\tHEAD")
        }),
    };
    let commit = text.lines().find_map(|line| {
        let (id, name) = line.split_once('\t')?;
        (name == pattern && !id.starts_with("ref:")).then_some(id)
    });
    match (branch, commit) {
        (Some(branch), Some(commit)) => {
            refname::check(branch)?;
            Ok(Some(Tip {
                branch: branch.to_owned(),
                commit: commit.to_owned(),
            }))
        }
        _ => Ok(None),
    }
}

fn no_branch(url: &str, wanted: Option<&str>) -> SourceError {
    let message = match wanted {
        Some(branch) => format!("`{url}` has no branch `{branch}`; check `baseBranch`"),
        None => format!(
            "`{url}` has no commit on a default branch to start from; push a first commit or name \
             the branch in `baseBranch`"
        ),
    };
    SourceError::new(FailureKind::Repository, message).missing_branch()
}

/// The base, if the mirror holds the wanted commit of the branch.
async fn base(
    repository: &Repository,
    branch: &str,
    mirror: &Path,
    wanted: Wanted,
) -> Result<Option<Base>, SourceError> {
    let (repository, branch, mirror) = (repository.clone(), branch.to_owned(), mirror.to_owned());
    objects::blocking(move || {
        if !mirror.join("HEAD").exists() {
            return Ok(None);
        }
        let git = objects::open(&mirror)?;
        let broken = |error: git2::Error| objects::broken(&mirror, &error);
        let newest = || objects::find_ref(&git, &keeper(&branch)).map_err(broken);
        let commit = match wanted {
            Wanted::Any => newest()?,
            Wanted::Tip(id) => newest()?.filter(|newest| newest.id().to_string() == id),
            // The branch may have been rewritten since; the run is none the worse for it.
            Wanted::Commit(id) => git.find_commit(objects::id(&id)?).ok(),
        };
        let Some(commit) = commit else {
            return Ok(None);
        };
        let id = commit.id().to_string();
        let tree = commit.tree_id().to_string();
        Ok(Some(Base {
            repository,
            branch,
            commit: id,
            tree,
            mirror: mirror.clone(),
        }))
    })
    .await
}

//! Fetches into a mirror: a branch or a commit in the mirror's own mode, more history, or single contents.
//!
//! Every object that comes in goes through fsck.

use std::io::Write;
use std::path::Path;

use git2::Oid;
use pullwright_core::config::CloneMode;
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::failure::{self, Doing};
use crate::git::{Call, Output, folder_size};
use crate::remote::Remote;
use crate::source::GitSource;
use crate::{clone_mode, shelf};

/// All of it, in words that a server without git's own protocol does not understand: over plain files git takes
/// in what it never checks.
const WHOLE_HISTORY: &str = "--depth=2147483647";
/// Nothing before the commit that is fetched.
const NO_HISTORY: &str = "--depth=1";
/// The commits and folders, without what is in the files.
pub(crate) const NO_CONTENTS: &str = "--filter=blob:none";
/// For what is missing among what a remote thinks is here.
pub(crate) const NOTHING_IS_HERE: &str = "fetch.negotiationAlgorithm=noop";
/// What git says of a remote that sends all that there is.
const DOES_NOT_FILTER: &str = "filtering not recognized by server";
/// What a remote says that gives out its branches only.
const BRANCHES_ONLY: &str = "does not allow request for unadvertised object";
/// What a remote says that has no such commit.
const NOT_THERE: &str = "not our ref";
/// What the list of a fetch is called, so that one that is left behind is tidied up.
const LIST_PREFIX: &str = "tmp_list_";

/// Old defects of honest repositories; everything else that fsck knows is refused.
const TOLERATED: &[&str] = &[
    "zeroPaddedFilemode",
    "zeroPaddedDate",
    "badTimezone",
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badFilemode",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "multipleAuthors",
    "missingTaggerEntry",
    "badTagName",
    "gitignoreSymlink",
    "gitattributesSymlink",
    "mailmapSymlink",
    "nullSha1",
    "largePathname",
];

/// Fetches into one mirror, whose lock is held.
pub(crate) struct Transfer<'t> {
    pub(crate) source: &'t GitSource,
    pub(crate) remote: &'t Remote<'t>,
    pub(crate) mirror: &'t Path,
}

/// What came of asking for one commit.
pub(crate) enum Brought {
    Here,
    NotThere,
    /// The remote gives out its branches only.
    Refused,
}

impl Transfer<'_> {
    /// Brings a branch, and makes the mirror if need be.
    pub(crate) async fn branch(&self, refspec: &str) -> Result<(), SourceError> {
        let mode = clone_mode::of(self.mirror);
        let options: &[&str] = match mode {
            CloneMode::Full => &[WHOLE_HISTORY],
            CloneMode::Shallow => &[NO_HISTORY],
            CloneMode::Blobless => &[NO_CONTENTS, WHOLE_HISTORY],
        };
        let is_fresh = self.begin().await?;
        let output = self.run(self.call(options, &[refspec]), is_fresh).await?;
        let output = self.heard(output)?;
        if mode == CloneMode::Blobless {
            clone_mode::note_filter(self.mirror, !output.stderr.contains(DOES_NOT_FILTER));
        }
        Ok(())
    }

    /// Brings a single commit of a mirror without history, wherever it is.
    pub(crate) async fn commit(&self, commit: &str) -> Result<Brought, SourceError> {
        let is_fresh = self.begin().await?;
        let call = self.call(&[NO_HISTORY], &[commit]);
        let output = self.run(call, is_fresh).await?;
        let says = |words: &str| output.stderr.contains(words);
        if !output.success && says(BRANCHES_ONLY) {
            return Ok(Brought::Refused);
        }
        if !output.success && says(NOT_THERE) {
            return Ok(Brought::NotThere);
        }
        self.heard(output).map(|_| Brought::Here)
    }

    /// Brings so many more commits of the history of a commit, or all of them.
    pub(crate) async fn history(&self, commit: &str, more: Option<u32>) -> Result<(), SourceError> {
        let depth = more.map_or(WHOLE_HISTORY.to_owned(), |more| format!("--deepen={more}"));
        self.begin().await?;
        let output = self.run(self.call(&[&depth], &[commit]), false).await?;
        self.heard(output).map(drop)
    }

    /// Brings the contents of files, all with one request.
    pub(crate) async fn contents(&self, ids: &[Oid]) -> Result<(), SourceError> {
        self.begin().await?;
        let list = self.list(ids)?;
        let call = self
            .call(&[NO_CONTENTS, "--stdin"], &[])
            .config([NOTHING_IS_HERE])
            .list(list.path());
        let output = self.run(call, false).await?;
        if !output.success && output.stderr.contains(BRANCHES_ONLY) {
            return Err(SourceError::new(
                FailureKind::Clone,
                format!(
                    "`{}` leaves contents out and does not give them out one by one; set `[repositories] clone` to \
                     \"full\" or \"shallow\"",
                    self.remote.url
                ),
            ));
        }
        self.heard(output).map(drop)
    }

    fn list(&self, ids: &[Oid]) -> Result<tempfile::NamedTempFile, SourceError> {
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let write = || {
            let mut list = tempfile::Builder::new()
                .prefix(LIST_PREFIX)
                .tempfile_in(self.mirror)?;
            list.write_all(text.as_bytes())?;
            Ok(list)
        };
        write().map_err(|error: std::io::Error| {
            SourceError::new(
                FailureKind::Internal,
                format!(
                    "what is to be fetched cannot be listed in `{}`: {error}",
                    self.mirror.display()
                ),
            )
        })
    }

    fn call(&self, options: &[&str], wanted: &[&str]) -> Call {
        let config = self.source.config();
        let fixed = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
        ];
        let args = fixed.iter().chain(options).copied();
        let args = args.chain(["--", &self.remote.url]);
        let args = args.chain(wanted.iter().copied());
        let tolerated = TOLERATED
            .iter()
            .map(|defect| format!("fetch.fsck.{defect}=ignore"));
        Call::new(config.timeouts.fetch, args)
            .git_dir(self.mirror)
            .config(["fetch.fsckObjects=true", "core.bigFileThreshold=64m"])
            .config(tolerated)
            .growth(&self.mirror.join("objects"), config.max_clone_bytes)
    }

    /// Makes the mirror if need be, and room for more, and removes what a killed git has left. Answers whether the
    /// mirror is a new one.
    async fn begin(&self) -> Result<bool, SourceError> {
        shelf::make_room(self.source).await?;
        let is_fresh = !self.mirror.exists();
        match is_fresh {
            true => self.make().await?,
            false => self.source.init_bare(self.mirror).await?,
        }
        tidy(self.mirror);
        Ok(is_fresh)
    }

    /// Makes the mirror elsewhere and whole: who looks for one takes it for damaged in the middle of being made.
    async fn make(&self) -> Result<(), SourceError> {
        let unfinished = self.mirror.with_extension("unfinished");
        // What a killed server has left.
        let _ = std::fs::remove_dir_all(&unfinished);
        self.source.init_bare(&unfinished).await?;
        std::fs::rename(&unfinished, self.mirror).map_err(|error| {
            SourceError::new(
                FailureKind::Internal,
                format!(
                    "the mirror `{}` cannot be made: {error}; look at the disk's space and rights",
                    self.mirror.display()
                ),
            )
        })
    }

    /// Leaves nothing half-done behind, nor a new mirror without anything; git's own failure is left to the caller.
    async fn run(&self, call: Call, is_fresh: bool) -> Result<Output, SourceError> {
        let output = self.remote.try_run(call).await.and_then(|output| {
            within(self.mirror, self.source.config().max_clone_bytes).map(|()| output)
        });
        match &output {
            // While the lock is held, this one is not among those that go.
            Ok(output) if output.success => shelf::tidy_up(self.source).await,
            _ if is_fresh => drop(shelf::remove(&self.source.config().data_dir, self.mirror)),
            _ => tidy(self.mirror),
        }
        output
    }

    fn heard(&self, output: Output) -> Result<Output, SourceError> {
        match output.success {
            true => Ok(output),
            false => Err(failure::explain(
                Doing::Fetching,
                &self.remote.url,
                self.remote.has_credential(),
                &output.stderr,
            )),
        }
    }
}

/// A small machine may finish the fetch between two looks at the size.
fn within(mirror: &Path, max: u64) -> Result<(), SourceError> {
    if folder_size(&mirror.join("objects")) <= max {
        return Ok(());
    }
    Err(SourceError::new(
        FailureKind::Limit,
        format!(
            "the repository is larger than {} MiB; raise `[repositories] max_clone_mb` if that is \
             meant",
            max >> 20
        ),
    ))
}

/// Removes what a killed git left half-written. The mirror's lock is held, so nobody is at work.
fn tidy(mirror: &Path) {
    let folders = ["", "objects/pack", "refs/pullwright"];
    for entry in folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(mirror.join(folder)).ok())
    {
        for entry in entry.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("tmp_") || name.ends_with(".lock") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

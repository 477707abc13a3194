//! Pushing from a quarantine whose mirror lacks something. To git its history ends at the commits that the work stands
//! on, whose files are all here; so it never walks into what is missing.
//!
//! A repository takes that as long as it holds these commits in its own branches. One that does not, such as a fork
//! that is behind or a branch that was rewritten, is sent what it lacks, which is fetched for that.

use git2::Oid;
use pullwright_core::config::CloneMode;
use pullwright_core::source::{Push, SourceError};
use pullwright_protocol::FailureKind;

use crate::failure::Doing;
use crate::git::Call;
use crate::history::CUT_FILE;
use crate::remote::Remote;
use crate::source::GitSource;
use crate::transfer::{NO_CONTENTS, NOTHING_IS_HERE, Transfer};
use crate::{clone_mode, objects};

/// What a repository says that lacks the commits below the work.
const REFUSED: &str = "shallow update not allowed";
/// How many commits tell whether a branch is ours: a merge, what it merges, and what that stands on.
const DEPTH_OF_OURS: &str = "--depth=3";
/// Against a list of missing objects without end, in bytes.
const MAX_LIST_BYTES: usize = 128 << 20;

/// Options and configuration of the fetch that looks at a branch which is there already. Only commits are read of it,
/// so their files are left out where the remote can do that.
pub(crate) fn look_options(push: &Push<'_>) -> (&'static [&'static str], &'static [&'static str]) {
    match is_cut(push) {
        true => (&[DEPTH_OF_OURS, NO_CONTENTS], &[NOTHING_IS_HERE]),
        false => (&[], &[]),
    }
}

/// Ends the quarantine's history where the work stands.
pub(crate) fn cut_off(push: &Push<'_>) -> Result<(), SourceError> {
    if !is_cut(push) {
        return Ok(());
    }
    let path = push.work.quarantine.join(CUT_FILE);
    let ends: String = stands_on(push).map(|id| format!("{id}\n")).collect();
    std::fs::write(&path, ends).map_err(|error| failed(push, &error))
}

/// Whether the repository that was pushed to lacks the commits below the work.
pub(crate) fn is_refused(push: &Push<'_>, said: &str) -> bool {
    is_cut(push) && said.contains(REFUSED)
}

/// Fetches what the repository lacks, and has the quarantine's history go on.
pub(crate) async fn fill(
    source: &GitSource,
    to: &Remote<'_>,
    push: &Push<'_>,
    commit: &str,
) -> Result<(), SourceError> {
    let base = push.base;
    let from = source.remote(&base.repository, push.credential).await?;
    let limit = source.config().timeouts.fetch;
    let _held = source.locks().hold(&base.mirror, limit).await?;
    let transfer = Transfer {
        source,
        remote: &from,
        mirror: &base.mirror,
    };
    let go_on = || {
        let ends = push.work.quarantine.join(CUT_FILE);
        std::fs::remove_file(ends).map_err(|error| failed(push, &error))
    };
    if clone_mode::of(&base.mirror) == CloneMode::Shallow {
        for end in stands_on(push) {
            transfer.history(end, None).await?;
        }
        return go_on();
    }
    go_on()?;
    let missing = missing(source, to, push, commit).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => transfer.contents(&missing).await,
    }
}

fn is_cut(push: &Push<'_>) -> bool {
    clone_mode::of(&push.base.mirror) != CloneMode::Full
}

/// The commits that the work stands on.
fn stands_on<'p>(push: &'p Push<'_>) -> impl Iterator<Item = &'p str> {
    let onto = push.moved.map(|moved| moved.onto.commit.as_str());
    std::iter::once(push.base.commit.as_str()).chain(onto)
}

/// What is missing here of the objects that the repository lacks.
async fn missing(
    source: &GitSource,
    to: &Remote<'_>,
    push: &Push<'_>,
    commit: &str,
) -> Result<Vec<Oid>, SourceError> {
    let ask = ["ls-remote", "--heads", "--", &to.url];
    let ask = Call::new(source.config().timeouts.ask, ask);
    let output = to.run(ask, Doing::Pushing(push.branch)).await?;
    let heads = String::from_utf8_lossy(&output.stdout);
    let heads = heads.lines().filter_map(|line| line.split_once('\t'));
    let known: String = heads.map(|(id, _)| format!("^{id}\n")).collect();
    let args = [
        "rev-list",
        "--objects",
        "--missing=print",
        "--ignore-missing",
        "--stdin",
    ];
    let list = Call::local(source.config(), args)
        .git_dir(&push.work.quarantine)
        .bytes(format!("{commit}\n{known}"))
        .max_stdout(MAX_LIST_BYTES);
    let listed = source.local(list, "listing what is to be pushed").await?;
    let listed = String::from_utf8_lossy(&listed);
    let ids = listed.lines().filter_map(|line| line.strip_prefix('?'));
    ids.map(objects::id).collect()
}

fn failed(push: &Push<'_>, error: &std::io::Error) -> SourceError {
    SourceError::new(
        FailureKind::Internal,
        format!(
            "where the history in `{}` ends cannot be written: {error}",
            push.work.quarantine.display()
        ),
    )
}

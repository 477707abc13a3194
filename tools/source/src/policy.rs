//! What may be pushed. A refusal never loses work: it ends as a patch, with the reason.

mod attributes;
mod path;
mod secrets;
mod symlink;

use git2::{ObjectType, Oid, Repository};
use pullwright_core::source::SourceError;

use crate::bundle::unsound;
use crate::diff::{Change, EXECUTABLE, Entry, FILE, GITLINK, SYMLINK};

/// Hosts refuse a file of 100 MB; this leaves room for how they count, in bytes.
const MAX_FILE_BYTES: usize = 95_000_000;
/// Against a build folder or data set that was added by mistake, in bytes.
const MAX_TOTAL_BYTES: usize = 256 << 20;
/// Against the same, in files.
const MAX_FILES: usize = 10_000;
/// How many reasons are told one by one.
const MAX_TOLD: usize = 20;

/// Why the change must not be pushed; empty when it may.
pub(crate) fn refusals(
    git: &Repository,
    old: Oid,
    new: Oid,
    changes: &[Change],
) -> Result<Vec<String>, SourceError> {
    let mut refusals = Vec::new();
    for change in changes {
        let found = path::refusal(change).or(mode_refusal(change));
        let found = match found {
            Some(found) => Some(found),
            None => content_refusal(git, change)?,
        };
        refusals.extend(found.map(|why| format!("`{}` {why}", change.shown().escape_debug())));
    }
    refusals.extend(symlink::refusals(git, old, new, changes)?);
    refusals.extend(total_refusal(git, changes)?);
    Ok(told(refusals))
}

/// The size of an object, without unpacking it.
pub(crate) fn size(git: &Repository, entry: Entry) -> Result<usize, SourceError> {
    if entry.mode == GITLINK {
        return Ok(0);
    }
    let header = git.odb().and_then(|odb| odb.read_header(entry.id));
    match header {
        Ok((size, ObjectType::Blob)) => Ok(size),
        Ok(_) => Err(unsound("a tree entry's mode does not fit its object")),
        Err(error) => Err(unsound(&format!(
            "an object cannot be read: {}",
            error.message()
        ))),
    }
}

/// A blob of at most `max` bytes; none if it is larger.
fn small_blob(git: &Repository, entry: Entry, max: usize) -> Result<Option<Vec<u8>>, SourceError> {
    if size(git, entry)? > max {
        return Ok(None);
    }
    let blob = git
        .find_blob(entry.id)
        .map_err(|error| unsound(&format!("a file cannot be read: {}", error.message())))?;
    Ok(Some(blob.content().to_vec()))
}

fn mode_refusal(change: &Change) -> Option<String> {
    let link = |entry: Option<Entry>| entry.is_some_and(|entry| entry.mode == GITLINK);
    if link(change.old) || link(change.new) {
        return Some("is a submodule, which a run may not change".into());
    }
    match change.new?.mode {
        FILE | EXECUTABLE | SYMLINK => None,
        mode => Some(format!("has the file mode {mode:o}, which is not allowed")),
    }
}

fn content_refusal(git: &Repository, change: &Change) -> Result<Option<String>, SourceError> {
    let Some(new) = change.new else {
        return Ok(None);
    };
    let size = size(git, new)?;
    if size > MAX_FILE_BYTES {
        let (size, max) = (size / 1_000_000, MAX_FILE_BYTES / 1_000_000);
        return Ok(Some(format!(
            "has {size} MB, more than the {max} MB that code hosts take"
        )));
    }
    if attributes::is_attributes_file(&change.path) {
        return attributes::refusal(git, change);
    }
    secrets::refusal(git, change)
}

fn total_refusal(git: &Repository, changes: &[Change]) -> Result<Option<String>, SourceError> {
    let mut total = 0_usize;
    for entry in changes.iter().filter_map(|change| change.new) {
        total = total.saturating_add(size(git, entry)?);
    }
    Ok(if changes.len() > MAX_FILES {
        Some(format!(
            "{} files change, more than {MAX_FILES}",
            changes.len()
        ))
    } else if total > MAX_TOTAL_BYTES {
        Some(format!(
            "the changed files have {} MiB, more than {} MiB",
            total >> 20,
            MAX_TOTAL_BYTES >> 20
        ))
    } else {
        None
    })
}

fn told(mut refusals: Vec<String>) -> Vec<String> {
    let more = refusals.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        refusals.truncate(MAX_TOLD);
        refusals.push(format!("and {more} more"));
    }
    refusals
}

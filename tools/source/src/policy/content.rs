//! What is in a changed file.

use git2::{ObjectType, Repository};
use pullwright_core::source::SourceError;

use crate::bundle::unsound;
use crate::diff::{Entry, GITLINK};

/// A larger file is not looked into to tell whether it is text, in bytes.
pub(super) const MAX_PROBED_BYTES: usize = 16 << 20;
/// What git looks through for a zero byte, to tell a binary file, in bytes.
const BINARY_PROBE_BYTES: usize = 8000;

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
pub(super) fn small_blob(
    git: &Repository,
    entry: Entry,
    max: usize,
) -> Result<Option<Vec<u8>>, SourceError> {
    if size(git, entry)? > max {
        return Ok(None);
    }
    let blob = git
        .find_blob(entry.id)
        .map_err(|error| unsound(&format!("a file cannot be read: {}", error.message())))?;
    Ok(Some(blob.content().to_vec()))
}

pub(super) fn is_binary(content: &[u8]) -> bool {
    content
        .iter()
        .take(BINARY_PROBE_BYTES)
        .any(|byte| *byte == 0)
}

pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n')
}

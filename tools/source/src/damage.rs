//! Whether a failure means that a mirror's files are damaged: those are a copy, and the remote has the original.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

/// What git says of objects that it cannot read.
const OF_FILES: &[&str] = &[
    "bad object",
    "bad tree object",
    "corrupt",
    "unable to read",
    "could not read",
    "failed to read",
    "not a git repository",
    "invalid sha1 pointer",
    "packfile",
    "does not match index",
    "differ in contents",
    "inflate",
    "broken link",
    "missing blob",
    "missing tree",
    "missing commit",
    "missing necessary objects",
    "bad config",
    "broken ref",
];
/// What is wrong with the machine instead, where fetching anew would only make it worse.
const OF_THE_MACHINE: &[&str] = &[
    "no space left",
    "permission denied",
    "read-only file system",
    "too many open files",
    "out of memory",
    "cannot allocate",
    "cannot fork",
    "cannot be started",
    "quota exceeded",
];

pub(crate) fn is_likely(error: &SourceError) -> bool {
    let low = error.message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| low.contains(phrase));
    if says(OF_THE_MACHINE) {
        return false;
    }
    match error.kind {
        FailureKind::Internal => true,
        FailureKind::Clone => says(OF_FILES),
        _ => false,
    }
}

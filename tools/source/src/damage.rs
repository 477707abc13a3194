//! Whether a failure means that a mirror's files are damaged: those are a copy, and the remote has the original.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

/// What git says of objects that it cannot read.
const OF_FILES: &[&str] = &[
    "bad object",
    "bad tree object",
    "failed to unpack tree",
    "not a valid object",
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
/// What libgit2 and the machine say of files that are cut off, overwritten or gone.
const OF_FILES_WITHIN: &[&str] = &[
    "object not found",
    "no match for id",
    "could not find repository",
    "not a repository",
    "failed to load object database",
    "failed to parse",
    "failed to resolve",
    "failed to map",
    "failed to mmap",
    "invalid",
    "malformed",
    "non-monotonic",
    "out of bounds",
    "prematurely",
    "trailing garbage",
    "delta",
    "wrong index",
    "index version",
    "mismatch",
    "zlib",
    "truncated",
    "unexpected end",
    "is a directory",
    "not a directory",
    "no such file",
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
    "input/output error",
    "invalid argument",
    "interrupted system call",
];

pub(crate) fn is_likely(error: &SourceError) -> bool {
    if is_of_the_machine(error) {
        return false;
    }
    match error.kind {
        FailureKind::Internal => says(error, OF_FILES) || says(error, OF_FILES_WITHIN),
        FailureKind::Clone => says(error, OF_FILES),
        _ => false,
    }
}

/// Whether it is the machine that fails, so that another try only makes it worse.
pub(crate) fn is_of_the_machine(error: &SourceError) -> bool {
    says(error, OF_THE_MACHINE)
}

fn says(error: &SourceError, phrases: &[&str]) -> bool {
    // What is in backquotes is a path, and a repository may be called anything.
    let words: String = error.message.split('`').step_by(2).collect();
    let low = words.to_ascii_lowercase();
    phrases.iter().any(|phrase| low.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_this_machine_is_no_damage() {
        let internal = |message: &str| is_likely(&SourceError::new(FailureKind::Internal, message));
        for damage in [
            "the repository `/d/m.git` cannot be read: object not found - no match for id (1f)",
            "the repository `/d/m.git` cannot be read: could not find repository from '/d/m.git'",
            "the lock `/d/m.git/checkouts.lock` cannot be taken: No such file or directory (os error 2)",
        ] {
            assert!(internal(damage), "{damage}");
        }
        for sound in [
            "reading objects ended without an answer: task 7 panicked",
            "the lock `/d/m.lock` cannot be taken: Input/output error (os error 5)",
            "the pack `/d/p` of a base commit cannot be kept or copied: Interrupted system call (os error 4); look at \
             the disk's space and rights",
            "packing the base commit failed; git said: nothing",
            "the lock `/d/mirrors/zlib-1f.lock` cannot be taken: Resource temporarily unavailable (os error 11)",
            "the repository `/d/m.git` cannot be read: failed to map: Cannot allocate memory",
        ] {
            assert!(!internal(sound), "{sound}");
        }
    }
}

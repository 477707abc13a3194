//! Why a workspace command failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why a workspace could not be exported or settled.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The base is not a commit id.
    #[error("`{base}` is not a commit id: the base is written as 40 hexadecimal digits")]
    BadBase {
        /// What was given.
        base: String,
    },
    /// There is no object store to read the base from.
    #[error("no usable git repository at {}: {reason}", path.display())]
    NoRepository {
        /// Where it was looked for.
        path: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// An object of the base is missing or damaged.
    #[error("the {kind} {id} of base {base} cannot be read: {reason}")]
    BaseUnreadable {
        /// The base commit.
        base: String,
        /// Commit, tree or blob.
        kind: &'static str,
        /// The object.
        id: String,
        /// The reason.
        reason: String,
    },
    /// The change is larger than the cap.
    #[error(
        "the change holds more than {limit} bytes of new content (reached at {path}); remove large files, or ignore them in .gitignore"
    )]
    TooLarge {
        /// The path at which the cap was reached.
        path: String,
        /// The cap, in bytes.
        limit: u64,
    },
    /// The workspace has more entries than the cap.
    #[error(
        "the workspace holds more than {limit} files that are not ignored (reached at {path}); remove generated ones, or ignore them in .gitignore"
    )]
    TooManyFiles {
        /// The path at which the cap was reached.
        path: String,
        /// The cap.
        limit: usize,
    },
    /// Folders are nested deeper than the cap.
    #[error("folders are nested more than {limit} deep at {path}; remove them")]
    TooDeep {
        /// The path at which the cap was reached.
        path: String,
        /// The cap.
        limit: usize,
    },
    /// The file system failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, and on which thing.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// The git library failed.
    #[error("cannot {what}: {}", source.message())]
    Git {
        /// What was tried.
        what: &'static str,
        /// The reason.
        source: git2::Error,
    },
}

/// Says what was tried when the file system failed.
pub(crate) fn io_error(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    let what = format!("{verb} {}", path.display());
    move |source| WorkspaceError::Io { what, source }
}

/// Says what was tried when the git library failed.
pub(crate) fn git_error(what: &'static str) -> impl FnOnce(git2::Error) -> WorkspaceError {
    move |source| WorkspaceError::Git { what, source }
}

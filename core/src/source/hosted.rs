//! What the control plane's git does for a commit that the code host makes itself.

use pullwright_protocol::forge::AddedFile;

use super::Pushed;

/// A change as a code host takes it: the files of one commit on a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedChange {
    /// The commit that it is put on.
    pub parent: String,
    /// The message's first line.
    pub title: String,
    /// The rest of the message; may be empty.
    pub body: String,
    /// Files that are new or have other contents.
    pub additions: Vec<AddedFile>,
    /// The paths of files that are gone.
    pub deletions: Vec<String>,
}

/// Why no code host can make a commit of a change. Paths are shown without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is merged with another commit.
    #[error(
        "the change is merged with the newest commit of its base branch, and a code host makes commits with one \
         parent; write `moved_base = \"rebase\"` in [repositories]"
    )]
    Merge,
    /// A file that can be executed is changed, or becomes or was one.
    #[error("`{0}` is executable, which is lost in a commit that a code host makes")]
    Executable(String),
    /// A symbolic link is made, changed or replaced.
    #[error("`{0}` is or was a symbolic link, and a code host writes regular files only")]
    Symlink(String),
    /// A submodule is made, changed or removed.
    #[error("`{0}` is or was a submodule, and a code host writes regular files only")]
    Submodule(String),
    /// A file is put where a folder was, or a folder where a file was.
    #[error(
        "`{0}` is in or was in a folder in whose place a file was or is put, and not every code host makes that in one \
         commit"
    )]
    Swapped(String),
    /// A path has bytes that are no text.
    #[error("the path `{0}` is not UTF-8, and a code host takes no other paths")]
    Path(String),
    /// More files than one request takes.
    #[error("the change has {files} files, and a code host is given at most {most} in one commit")]
    Files {
        /// How many.
        files: usize,
        /// How many may be.
        most: usize,
    },
    /// More bytes than one request takes.
    #[error(
        "the changed files have more than {most_mib} MiB, which a code host is not given in one commit"
    )]
    Size {
        /// How many MiB may be.
        most_mib: u64,
    },
}

/// What a branch is that a push makes or grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tip {
    /// Not there.
    Absent,
    /// At this commit, as the push says that it may be: it grows from there, or the run may have made it there.
    At(String),
    /// At this very work, which was put there before.
    Ours(Pushed),
}

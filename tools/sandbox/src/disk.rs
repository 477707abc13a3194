//! How much disk a sandbox uses.
//!
//! All of this runs inside the sandbox, in its first process: the control plane opens no path in a
//! folder that a sandbox has written. It holds no thread and waits for nothing; whoever calls it
//! has a loop of its own.

mod deleted;
mod directory;
mod walk;
mod watch;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

pub use watch::{Step, Watch};

/// How much a look may cost.
#[derive(Clone, Copy, Debug)]
pub struct WalkBudget {
    /// The most files and folders to look at: a sandbox can make more than can be counted.
    pub entries: u64,
    /// The longest time to take.
    pub time: Duration,
    /// More bytes than this need not be counted.
    pub enough_bytes: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The bytes that are allocated, each file once, however many names it has.
    pub bytes: u64,
    /// The files and folders.
    pub files: u64,
    /// Whether everything was looked at. If not, there may be more.
    pub complete: bool,
}

/// What is below `folders`, without what is mounted there. A folder that its owner closed is opened
/// for the look and closed again.
#[must_use]
pub fn usage(folders: &[OwnedFd], budget: &WalkBudget) -> Usage {
    walk::walk(folders, budget)
}

/// The files of the file systems of `folders` that have no name any more and that a process still
/// has open. `proc` is the sandbox's own `/proc`.
#[must_use]
pub fn deleted(proc: &Path, folders: &[OwnedFd], budget: &WalkBudget) -> Usage {
    deleted::deleted(proc, folders, budget)
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
            complete: self.complete && other.complete,
        }
    }
}

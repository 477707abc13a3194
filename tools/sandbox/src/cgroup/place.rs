//! Where groups are made in one hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Limit;
use super::mounts::Version;

/// The folder that holds the groups of every sandbox.
pub(super) const FOLDER: &str = "pullwright";

/// Where this process goes when it divides the group it was started in.
pub(super) const LEAF: &str = "pullwright-server";

/// A group that this process may divide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) parent: PathBuf,
    /// What groups here limit.
    pub(super) limits: Vec<Limit>,
    /// Version 2 divides no group that has processes itself, and this process is the one it has.
    pub(super) leave: bool,
}

impl Place {
    /// The folder of all groups.
    pub(super) fn folder(&self) -> PathBuf {
        self.parent.join(FOLDER)
    }

    /// Makes the folder of all groups, and lets its groups limit what they can.
    ///
    /// It is a level of its own because controllers that it hands on cannot be taken from it, not
    /// even by a service manager that counts `parent` as its own.
    pub(super) fn prepare(&self) -> io::Result<()> {
        self.settle()?;
        if self.version == Version::V2 {
            self.hand_on(&self.parent)?;
        }
        make(&self.folder())?;
        match self.version {
            Version::V1 => Ok(()),
            Version::V2 => self.hand_on(&self.folder()),
        }
    }

    /// Moves this process out of the way, if it must.
    pub(super) fn settle(&self) -> io::Result<()> {
        if !self.leave || is_empty(&self.parent) {
            return Ok(());
        }
        let leaf = self.parent.join(LEAF);
        make(&leaf)?;
        fs::write(leaf.join("cgroup.procs"), "0")
    }

    /// Removes the folder of all groups if none is left.
    pub(super) fn tidy(&self) {
        // It fails as long as another sandbox has a group there.
        let _ = fs::remove_dir(self.folder());
    }

    fn hand_on(&self, folder: &Path) -> io::Result<()> {
        let file = folder.join("cgroup.subtree_control");
        let handed = fs::read_to_string(&file)?;
        for limit in &self.limits {
            let controller = limit.controller();
            if !handed.split_whitespace().any(|found| found == controller) {
                fs::write(&file, format!("+{controller}"))?;
            }
        }
        Ok(())
    }
}

/// Whether no process is in the group itself.
pub(super) fn is_empty(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|procs| procs.trim().is_empty())
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

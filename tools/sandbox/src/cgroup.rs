//! Limits that the kernel keeps for a sandbox as a whole: memory, processes and processor time.
//!
//! Each sandbox has a group of its own in every hierarchy that limits something, below a folder
//! `pullwright`. A group belongs to whoever holds its lock file, which lists its folders; what a
//! killed server left is found by its lock being free, so that a second server on the machine is
//! never harmed.

mod find;
mod group;
mod kill;
mod lock;
mod mounts;
mod place;
mod settings;
mod sweep;

use std::path::{Path, PathBuf};

use pullwright_core::sandbox::SandboxError;
use serde::Serialize;

pub use group::Cgroup;
pub use sweep::Swept;

use find::Found;
use mounts::View;

/// What a group may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CgroupLimits {
    /// The memory of all processes together, files in memory included. There is no swap beyond it.
    pub memory_bytes: Option<u64>,
    /// The number of processes and threads.
    pub processes: Option<u64>,
    /// Processor time, in processors.
    pub cpus: Option<f64>,
}

/// What a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The memory of all processes together.
    Memory,
    /// The number of processes and threads.
    Processes,
    /// Processor time.
    Cpu,
}

/// Which limits a group keeps; the others are the caller's to keep in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holds {
    /// Memory.
    pub memory: bool,
    /// Processes.
    pub processes: bool,
    /// Processor time.
    pub cpu: bool,
}

/// What stands behind one limit on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The limit.
    pub limit: Limit,
    /// The version of the hierarchy that keeps it, if one does.
    pub version: Option<u8>,
    /// The folder in which groups are made, or why they cannot be.
    pub detail: String,
    /// What a person can do about it, where it is not kept.
    pub remedy: Option<String>,
}

/// The groups of this machine, as this process may make them.
#[derive(Debug)]
pub struct Cgroups {
    found: Found,
    locks: PathBuf,
}

impl Cgroups {
    /// Looks at the machine, and changes nothing. Lock files will be in `locks`, see
    /// [`Cgroups::lock_folder`].
    #[must_use]
    pub fn detect(locks: &Path) -> Self {
        Self {
            found: find::find(&View::of_this_process()),
            locks: locks.to_owned(),
        }
    }

    /// The folder for lock files, which every server of this user on the machine shares; a folder
    /// in `data_dir` where the machine has none for that.
    #[must_use]
    pub fn lock_folder(data_dir: &Path) -> PathBuf {
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/run/pullwright/cgroups");
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(|folder| folder.is_absolute() && folder.is_dir()) {
            Some(runtime) => runtime.join("pullwright/cgroups"),
            None => data_dir.join("cgroups"),
        }
    }

    /// Which limits a group would keep.
    #[must_use]
    pub fn holds(&self) -> Holds {
        let places = self.found.places.iter();
        places.flat_map(|place| place.limits.iter()).collect()
    }

    /// Where each limit is kept, or why it is not.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        let explain = |limit| self.found.explain(limit);
        Limit::ALL.into_iter().map(explain).collect()
    }

    /// Makes the group `pullwright-<name>`, without a process in it. A group of that name whose
    /// owner is gone is killed and replaced.
    ///
    /// # Errors
    /// The name is not one, another process owns the group, or the kernel refuses.
    pub fn create(&self, name: &str, limits: &CgroupLimits) -> Result<Cgroup, SandboxError> {
        Cgroup::create(&self.found.places, &self.locks, name, limits)
    }

    /// Makes a group with every limit and removes it: what `explain` promises is tried.
    ///
    /// # Errors
    /// Those of [`Cgroups::create`], and of removing it.
    pub fn trial(&self) -> Result<Holds, SandboxError> {
        let limits = CgroupLimits {
            memory_bytes: Some(64 << 20),
            processes: Some(16),
            cpus: Some(1.0),
        };
        let name = format!("trial-{}", std::process::id());
        let group = self.create(&name, &limits)?;
        let holds = group.holds();
        group.remove()?;
        Ok(holds)
    }

    /// Kills and removes the groups whose owner is gone. To be called once, when a server starts
    /// and has no other process yet: where its own group is the one it may divide, it moves to a
    /// part of it first.
    pub fn sweep(&self) -> Swept {
        for place in &self.found.places {
            if let Err(error) = place.settle() {
                tracing::warn!(folder = %place.parent.display(), %error, "cannot divide the own cgroup");
            }
        }
        sweep::sweep(&self.locks)
    }
}

impl Limit {
    /// Every limit, in the order in which a person reads them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Processes, Self::Cpu];

    /// The kernel's name for what keeps it.
    pub(crate) fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
        }
    }
}

impl Holds {
    /// Whether this limit is kept.
    #[must_use]
    pub fn has(self, limit: Limit) -> bool {
        match limit {
            Limit::Memory => self.memory,
            Limit::Processes => self.processes,
            Limit::Cpu => self.cpu,
        }
    }
}

impl<'l> FromIterator<&'l Limit> for Holds {
    fn from_iter<I: IntoIterator<Item = &'l Limit>>(limits: I) -> Self {
        let mut holds = Self::default();
        for limit in limits {
            match limit {
                Limit::Memory => holds.memory = true,
                Limit::Processes => holds.processes = true,
                Limit::Cpu => holds.cpu = true,
            }
        }
        holds
    }
}

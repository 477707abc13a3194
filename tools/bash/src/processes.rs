//! The processes of this machine, where the kernel lists them in /proc.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Pid, Signal};

/// One process, at the moment of looking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Ended, but its parent has not asked yet.
    pub(crate) ended: bool,
    /// Tells it from a later process of the same number.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "there is no /proc to compare with")
    )]
    started: u64,
}

/// Every process, but for those of other users: of many servers on one machine, each has a user of its own.
/// Empty where there is no /proc.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| may_be_own(*pid))
        .filter_map(Process::look)
        .collect()
}

/// By the owner of its folder. Root's may be one that raised its rights, and root may kill everybody's.
fn may_be_own(pid: i32) -> bool {
    let own = rustix::process::geteuid();
    let owner = fs::metadata(format!("/proc/{pid}")).map(|folder| folder.uid());
    own.is_root() || owner.is_ok_and(|owner| owner == own.as_raw() || owner == 0)
}

/// The `seeds` and all their descendants.
pub(crate) fn with_descendants(all: &[Process], seeds: HashSet<i32>) -> HashSet<i32> {
    let mut found = seeds;
    loop {
        let before = found.len();
        let children = all.iter().filter(|child| found.contains(&child.parent));
        let children: Vec<i32> = children.map(|child| child.pid.as_raw_pid()).collect();
        found.extend(children);
        if found.len() == before {
            return found;
        }
    }
}

impl Process {
    /// The process of this number, if there is one.
    pub(crate) fn look(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may contain anything, parentheses too.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let fields = std::str::from_utf8(&stat[after_name..]).ok()?;
        let mut fields = fields.split_ascii_whitespace();
        Some(Self {
            pid: Pid::from_raw(pid)?,
            ended: matches!(fields.next()?, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            started: fields.nth(16)?.parse().ok()?,
        })
    }

    /// The value of a variable in the environment it was started with, if that can be read.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let path = format!("/proc/{}/environ", self.pid.as_raw_pid());
        let environ = fs::read(path).ok()?;
        environ
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok())
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    }

    /// Kills it, and never a later process of the same number.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill(&self) {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return;
        };
        let now = Self::look(self.pid.as_raw_pid());
        if now.is_some_and(|now| now.started == self.started) {
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }

    /// Kills it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn kill(&self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }
}

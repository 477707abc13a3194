//! Ends what a command left running.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

/// What is still there after this time forks faster than it can be killed, or hangs in the kernel.
/// The sandbox as a whole then ends.
const LONGEST: Duration = Duration::from_secs(5);

/// Kills every descendant of this process, which must be the one that orphans fall to, until it has
/// no child any more. Tells of each child that ends.
pub(super) fn everything(mut ended: impl FnMut(Pid, WaitStatus)) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(pid, status),
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(None) => {
                in_time(start)?;
                kill(&descendants(&[])?);
                // All were killed; one that was born meanwhile is seen when its parent has ended.
                if let Some((pid, status)) = wait(WaitOptions::empty())? {
                    ended(pid, status);
                }
            }
        }
    }
}

/// Kills every descendant of this process but `kept` and theirs, until none is seen.
pub(super) fn strangers(kept: &[Pid]) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let found = descendants(kept)?;
        if found.is_empty() {
            return Ok(());
        }
        in_time(start)?;
        kill(&found);
        for pid in found {
            // Not every one is a child of this process.
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

fn in_time(start: Instant) -> io::Result<()> {
    match start.elapsed() < LONGEST {
        true => Ok(()),
        false => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// First stops all, so that few can fork while the others are killed.
fn kill(found: &[Pid]) {
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in found {
            // One that has ended needs no signal.
            let _ = kill_process(*pid, signal);
        }
    }
}

/// The living descendants of this process but `kept` and theirs.
fn descendants(kept: &[Pid]) -> io::Result<Vec<Pid>> {
    let parents = parents()?;
    let me = getpid().as_raw_nonzero().get();
    let is_mine = |pid: i32| {
        let mut at = pid;
        // No chain is longer than the number of processes.
        for _ in 0..=parents.len() {
            if kept.iter().any(|kept| kept.as_raw_nonzero().get() == at) {
                return false;
            }
            match parents.get(&at) {
                Some(parent) if *parent == me => {
                    return !kept.iter().any(|kept| kept.as_raw_nonzero().get() == at);
                }
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    let found = parents.keys().copied().filter(|pid| is_mine(*pid));
    Ok(found.filter_map(Pid::from_raw).collect())
}

/// The living processes and their parents.
fn parents() -> io::Result<HashMap<i32, i32>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile has no status.
        let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent_of_living(&status) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// The parent in a line of `/proc/<pid>/stat`, unless the process has ended. The program's name,
/// which may hold anything, stands in parentheses.
fn parent_of_living(status: &str) -> Option<i32> {
    let (_, fields) = status.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_the_name() {
        assert_eq!(parent_of_living("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_of_living("7 () S 1 (x) R 9 7"), Some(9));
        assert_eq!(parent_of_living("7 (sh) Z 3 7 7 0"), None);
        assert_eq!(parent_of_living(""), None);
    }
}

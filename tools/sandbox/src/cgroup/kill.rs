//! Ends every process of a group, and the group.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::settings::write;

/// A killed process that is still there after this time hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The kernel gives a group back a moment after its last process.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait between two looks, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Kills every process in these folders of one group, and returns once there is none.
pub(super) fn kill_all(folders: &[PathBuf]) -> io::Result<()> {
    stop_forks(folders);
    until(KILL_TIMEOUT, || {
        let left: BTreeSet<i32> = folders.iter().flat_map(|folder| pids(folder)).collect();
        if left.is_empty() {
            return Ok(true);
        }
        for folder in folders {
            kill_in(folder)?;
        }
        Ok(false)
    })
}

/// Removes a folder that has no process any more.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    until(REMOVE_TIMEOUT, || match fs::remove_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    })
}

/// A process that starts its successor and ends is gone before it is killed; no successor, no race.
fn stop_forks(folders: &[PathBuf]) {
    for folder in folders {
        // Only the hierarchy that limits processes has it, and killing works without it too.
        let _ = write(&folder.join("pids.max"), "0");
    }
}

fn kill_in(folder: &Path) -> io::Result<()> {
    // The kernel kills the whole group in one step, since Linux 5.14 and in version 2.
    if write(&folder.join("cgroup.kill"), "1").is_ok() {
        return Ok(());
    }
    pids(folder)
        .into_iter()
        .try_for_each(|pid| kill(folder, pid))
}

/// Kills the process `pid` if it is in the group. The number may be another process's by now, so
/// the process is held before it is looked up once more.
fn kill(folder: &Path, pid: i32) -> io::Result<()> {
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(());
    };
    let held = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(held) => held,
        // It is just ending: kernels differ in how they say so.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !pids(folder).contains(&pid) {
        return Ok(());
    }
    match pidfd_send_signal(&held, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The processes of the group; none if it is gone.
fn pids(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn until(timeout: Duration, mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    while !done()? {
        if start.elapsed() > timeout {
            let message = format!("it is still in use after {} s", timeout.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

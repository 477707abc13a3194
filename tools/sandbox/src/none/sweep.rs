//! Finds processes and kills them, until none is left.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::launch;

/// A killed process that is still there after this time hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait between two looks, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks at processes without an environment, in case they are just being started. With the pauses
/// between them, a quarter of a second.
const UNCLEAR_LOOKS: u32 = 10;

/// A variable that every process of a kind has in its environment.
#[derive(Clone)]
pub(super) struct Marker {
    entry: String,
    name_len: usize,
}

impl Marker {
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self {
            entry: format!("{name}={value}"),
            name_len: name.len(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.entry.get(..self.name_len).unwrap_or_default()
    }

    pub(super) fn value(&self) -> &str {
        self.entry.get(self.name_len + 1..).unwrap_or_default()
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| entry == self.entry.as_bytes())
    }
}

/// Kills every process of `uid`.
pub(super) fn user(uid: u32) -> io::Result<()> {
    until_none_left(|| match is_running(uid) {
        true => launch::kill_user(uid).map(|()| true),
        false => Ok(false),
    })
}

/// Kills every process that bears `marker`; they are processes of `uid`.
pub(super) fn marked(marker: &Marker, uid: u32) -> io::Result<()> {
    let mut unclear_looks = 0;
    until_none_left(|| {
        let found: Vec<_> = processes(|process| marker.is_in(&environment(process))).collect();
        for pid in &found {
            kill(*pid)?;
        }
        let unclear = processes(|process| is_bare(process, uid)).next().is_some();
        unclear_looks += u32::from(unclear);
        Ok(!found.is_empty() || (unclear && unclear_looks < UNCLEAR_LOOKS))
    })
}

/// Whether a process of `uid` runs. One that has ended and waits for its parent does not.
pub(super) fn is_running(uid: u32) -> bool {
    processes(|process| is_of(process, uid)).next().is_some()
}

fn until_none_left(mut kill_some: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    while kill_some()? {
        if start.elapsed() > KILL_TIMEOUT {
            let message = format!(
                "some are still there {} s after SIGKILL",
                KILL_TIMEOUT.as_secs()
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// The processes for which `wanted` holds, by their folder in `/proc`. Systems without one have
/// none to show.
fn processes(wanted: impl Fn(&Path) -> bool) -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        wanted(&entry.path()).then_some(pid)
    })
}

/// Whether a process of `uid` shows no environment: it has none, or is just being started and has
/// none yet.
fn is_bare(process: &Path, uid: u32) -> bool {
    environment(process).is_empty() && is_of(process, uid)
}

fn environment(process: &Path) -> Vec<u8> {
    fs::read(process.join("environ")).unwrap_or_default()
}

fn is_of(process: &Path, uid: u32) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let ended = field("State:").is_none_or(|state| state.trim_start().starts_with(['Z', 'X']));
    let uids = field("Uid:").unwrap_or_default();
    !ended
        && uids
            .split_whitespace()
            .any(|found| found.parse() == Ok(uid))
}

fn kill(pid: Pid) -> io::Result<()> {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

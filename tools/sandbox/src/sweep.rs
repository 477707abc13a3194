//! Finds processes and kills them, until none is left.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::launch;

/// A killed process that is still there after this time hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait between two looks, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks at processes without an environment, in case they are just being started. With the pauses
/// between them, a quarter of a second.
const UNCLEAR_LOOKS: u32 = 10;

/// Parents looked through above a process, so that a chain of them cannot hold us up. A deeper one
/// comes nearer when those above it are killed.
const MAX_ANCESTORS: u32 = 1000;

/// A variable that every process of a kind has in its environment.
#[derive(Clone)]
pub(crate) struct Marker {
    entry: String,
    name_len: usize,
}

impl Marker {
    pub(crate) fn new(name: &str, value: &str) -> Self {
        Self {
            entry: format!("{name}={value}"),
            name_len: name.len(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.entry.get(..self.name_len).unwrap_or_default()
    }

    pub(crate) fn value(&self) -> &str {
        self.entry.get(self.name_len + 1..).unwrap_or_default()
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| entry == self.entry.as_bytes())
    }
}

/// The processes that may be about to bear a marker.
#[derive(Clone, Copy)]
pub(crate) enum Suspects {
    /// Those of a user.
    User(u32),
    /// Those that descend from this process, which adopts what they orphan.
    Descendants,
}

/// Kills every process of `uid`.
pub(crate) fn user(uid: u32) -> io::Result<()> {
    until_none_left(|| match is_running(uid) {
        true => launch::kill_user(uid).map(|()| true),
        false => Ok(false),
    })
}

/// Kills every process that bears `marker`, which only suspects do.
pub(crate) fn marked(marker: &Marker, suspects: Suspects) -> io::Result<()> {
    let mut unclear_looks = 0;
    until_none_left(|| {
        let found: Vec<_> = processes(|process| marker.is_in(&environment(process))).collect();
        for pid in &found {
            kill(*pid)?;
        }
        let unclear = processes(|process| is_bare(process, suspects))
            .next()
            .is_some();
        // On a busy machine a start takes longer than those looks.
        let starts = processes(|process| is_starting(process) && is_bare(process, suspects))
            .next()
            .is_some();
        unclear_looks += u32::from(unclear);
        Ok(!found.is_empty() || starts || (unclear && unclear_looks < UNCLEAR_LOOKS))
    })
}

/// Kills every process that descends from this one. It must be a subreaper, or what was orphaned is
/// not found.
pub(crate) fn descendants() -> io::Result<()> {
    until_none_left(|| {
        let found: Vec<_> = processes(descends_from_here).collect();
        for pid in &found {
            kill(*pid)?;
        }
        Ok(!found.is_empty())
    })
}

/// Whether a process of `uid` runs. One that has ended and waits for its parent does not.
pub(crate) fn is_running(uid: u32) -> bool {
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

/// Whether a suspect shows no environment: it has none, or is just being started and has none yet.
fn is_bare(process: &Path, suspects: Suspects) -> bool {
    let suspected = || match suspects {
        Suspects::User(uid) => is_of(process, uid),
        Suspects::Descendants => descends_from_here(process),
    };
    environment(process).is_empty() && suspected()
}

/// Whether a process has not been given an environment yet, be it an empty one. Nothing is known of one
/// that may not be looked at.
fn is_starting(process: &Path) -> bool {
    /// The place of `env_start` among the fields of `stat` that follow the program's name.
    const ENV_START: usize = 47;

    let may_look = fs::read(process.join("environ")).is_ok();
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    may_look && after_name.split_whitespace().nth(ENV_START) == Some("0")
}

fn environment(process: &Path) -> Vec<u8> {
    fs::read(process.join("environ")).unwrap_or_default()
}

fn is_of(process: &Path, uid: u32) -> bool {
    let status = status(process);
    let uids = field(&status, "Uid:").unwrap_or_default();
    is_live(&status)
        && uids
            .split_whitespace()
            .any(|found| found.parse() == Ok(uid))
}

/// Whether this process is among the parents of another one.
fn descends_from_here(process: &Path) -> bool {
    let own = rustix::process::getpid().as_raw_pid();
    let mut shown = status(process);
    if !is_live(&shown) {
        return false;
    }
    for _ in 0..MAX_ANCESTORS {
        let parent = field(&shown, "PPid:").and_then(|parent| parent.trim().parse::<i32>().ok());
        match parent {
            Some(parent) if parent == own => return true,
            Some(parent) if parent > 0 => shown = status(Path::new(&format!("/proc/{parent}"))),
            _ => return false,
        }
    }
    false
}

fn status(process: &Path) -> String {
    fs::read_to_string(process.join("status")).unwrap_or_default()
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether it has not ended and is no thread of the kernel, which has no environment either. One
/// whose first thread has ended looks ended, but lives on in the others.
fn is_live(status: &str) -> bool {
    let ended =
        field(status, "State:").is_none_or(|state| state.trim_start().starts_with(['Z', 'X']));
    let threads = field(status, "Threads:").and_then(|threads| threads.trim().parse::<u32>().ok());
    let gone = ended && threads.is_none_or(|threads| threads < 2);
    !gone && field(status, "Kthread:").is_none_or(|kthread| kthread.trim() == "0")
}

fn kill(pid: Pid) -> io::Result<()> {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

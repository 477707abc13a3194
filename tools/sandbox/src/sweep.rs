//! Finds processes and kills them, until none is left.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
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

const ROOT: u32 = 0;

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
    /// Those of a user, who starts them. Root may have given its rights up for any other user's.
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
        let look = Look::take(marker, suspects)?;
        unclear_looks += u32::from(look.is_unclear);
        Ok(look.has_killed || look.is_start || (look.is_unclear && unclear_looks < UNCLEAR_LOOKS))
    })
}

/// Kills every process that descends from this one. It must be a subreaper, or what was orphaned is
/// not found.
pub(crate) fn descendants() -> io::Result<()> {
    until_none_left(|| {
        let mut has_killed = false;
        for process in processes().filter(Process::descends_from_here) {
            process.kill()?;
            has_killed = true;
        }
        Ok(has_killed)
    })
}

/// Whether a process of `uid` runs. One that has ended and waits for its parent does not.
pub(crate) fn is_running(uid: u32) -> bool {
    processes().any(|process| process.is_of(uid))
}

/// What one look at all suspects has found.
#[derive(Default)]
struct Look {
    has_killed: bool,
    /// A suspect shows no environment: it has none, or is just being started and has none yet.
    is_unclear: bool,
    /// A suspect is just being started. On a busy machine that takes longer than some looks.
    is_start: bool,
}

impl Look {
    /// Looks at all suspects, and kills those that bear the marker.
    fn take(marker: &Marker, suspects: Suspects) -> io::Result<Self> {
        let mut look = Self::default();
        for process in processes().filter(|process| suspects.may_include(process)) {
            let environment = process.environment();
            if marker.is_in(&environment) {
                process.kill()?;
                look.has_killed = true;
            } else if environment.is_empty() && suspects.include(&process) {
                look.is_unclear = true;
                look.is_start |= process.is_starting();
            }
        }
        Ok(look)
    }
}

impl Suspects {
    /// Whether it is worth a closer look.
    fn may_include(self, process: &Process) -> bool {
        match self {
            Self::User(ROOT) | Self::Descendants => true,
            Self::User(uid) => process.may_be_of(uid),
        }
    }

    fn include(self, process: &Process) -> bool {
        match self {
            Self::User(ROOT) => is_live(&process.status()),
            Self::User(uid) => process.is_of(uid),
            Self::Descendants => process.descends_from_here(),
        }
    }
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

/// All processes. Systems without /proc have none to show.
fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some(Process::new(Pid::from_raw(pid)?))
    })
}

/// One process, by its folder in /proc.
struct Process {
    pid: Pid,
    folder: PathBuf,
}

impl Process {
    fn new(pid: Pid) -> Self {
        Self {
            pid,
            folder: PathBuf::from(format!("/proc/{}", pid.as_raw_pid())),
        }
    }

    fn environment(&self) -> Vec<u8> {
        fs::read(self.folder.join("environ")).unwrap_or_default()
    }

    /// By the owner of its folder, who is the user whose rights it has; far cheaper than to read anything of
    /// it. Root's may be a program of the user's that raised its rights.
    fn may_be_of(&self, uid: u32) -> bool {
        let owner = self.folder.metadata().map(|folder| folder.uid());
        owner.is_ok_and(|owner| owner == uid || owner == 0)
    }

    fn is_of(&self, uid: u32) -> bool {
        if !self.may_be_of(uid) {
            return false;
        }
        let status = self.status();
        let uids = field(&status, "Uid:").unwrap_or_default();
        is_live(&status)
            && uids
                .split_whitespace()
                .any(|found| found.parse() == Ok(uid))
    }

    /// Whether this process is among the parents of the other one.
    fn descends_from_here(&self) -> bool {
        let own = rustix::process::getpid().as_raw_pid();
        let mut shown = self.status();
        if !is_live(&shown) {
            return false;
        }
        for _ in 0..MAX_ANCESTORS {
            let parent = field(&shown, "PPid:").and_then(|parent| parent.trim().parse().ok());
            match parent {
                Some(parent) if parent == own => return true,
                Some(parent) => match Pid::from_raw(parent) {
                    Some(parent) => shown = Self::new(parent).status(),
                    None => return false,
                },
                None => return false,
            }
        }
        false
    }

    /// Whether it has not been given an environment yet, be it an empty one. Nothing is known of one that
    /// may not be looked at.
    fn is_starting(&self) -> bool {
        /// The place of `env_start` among the fields of `stat` that follow the program's name.
        const ENV_START: usize = 47;

        let may_look = fs::read(self.folder.join("environ")).is_ok();
        let stat = fs::read_to_string(self.folder.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        may_look && after_name.split_whitespace().nth(ENV_START) == Some("0")
    }

    fn status(&self) -> String {
        fs::read_to_string(self.folder.join("status")).unwrap_or_default()
    }

    fn kill(&self) -> io::Result<()> {
        match kill_process(self.pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
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

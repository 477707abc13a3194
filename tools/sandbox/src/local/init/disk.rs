//! Keeps the sandbox within its disk.
//!
//! Process 1 asks for the free space, which costs nothing; a look at every file is a child's work,
//! so that commands are started meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat, statvfs};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::supervisor::{self, Forked, leave};
use crate::disk::{self, Step, WalkBudget, Watch};
use crate::local::plan::{HOME, WORKSPACE};

/// A look that takes longer, or finds more, has seen a sandbox that cannot be kept within limits.
const LONGEST_LOOK: Duration = Duration::from_secs(120);
const MOST_FILES: u64 = 20_000_000;

/// A look that was ended from outside is made again this often, before the sandbox counts as one
/// that does not want to be looked at.
const BROKEN_LOOKS: u32 = 3;

/// What became of the disk.
pub(super) enum State {
    /// It is within its limit. Ask again after this time.
    Within(Duration),
    /// So many bytes are used, more than may be; or no more could be found out.
    Exceeded(u64),
}

pub(super) struct Disk {
    limit: u64,
    watch: Watch,
    looked: Instant,
    look: Option<Look>,
    broken: u32,
}

/// A look under way.
struct Look {
    pid: Pid,
    result: OwnedFd,
    begun: Instant,
    free: u64,
}

/// While a look is under way, its end is told by a signal.
const MEANWHILE: Duration = Duration::from_secs(60);

impl Disk {
    /// Watches over workspace and home.
    pub(super) fn watch(limit: u64) -> io::Result<Self> {
        let mut watch = Watch::new(limit);
        // What a fresh checkout takes is counted by the first look, which is not worth a start.
        watch.walked(0, free()?, Duration::ZERO);
        Ok(Self {
            limit,
            watch,
            looked: Instant::now(),
            look: None,
            broken: 0,
        })
    }

    /// The process that looks, which is nobody's command.
    pub(super) fn looking(&self) -> Option<Pid> {
        self.look.as_ref().map(|look| look.pid)
    }

    /// Looks if it is time to.
    pub(super) fn check(&mut self) -> io::Result<State> {
        if self.look.is_some() {
            return Ok(State::Within(MEANWHILE));
        }
        let free = free()?;
        match self.watch.next(free, self.looked.elapsed()) {
            Step::Sleep(pause) => Ok(State::Within(pause)),
            Step::Walk => self.start(free),
            Step::Exceeded => Ok(State::Exceeded(self.limit)),
        }
    }

    /// Takes in what the process that looked has found. To be called when it has ended.
    pub(super) fn finish(&mut self) -> State {
        let Some(look) = self.look.take() else {
            return State::Within(Duration::ZERO);
        };
        self.looked = Instant::now();
        let mut bytes = [0; 8];
        if !matches!(rustix::io::read(&look.result, &mut bytes), Ok(8)) {
            self.broken += 1;
            return match self.broken < BROKEN_LOOKS {
                true => State::Within(Duration::ZERO),
                false => State::Exceeded(0),
            };
        }
        self.broken = 0;
        let used = u64::from_ne_bytes(bytes);
        if used > self.limit {
            return State::Exceeded(used);
        }
        self.watch.walked(used, look.free, look.begun.elapsed());
        State::Within(Duration::ZERO)
    }

    fn start(&mut self, free: u64) -> io::Result<State> {
        let (result, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        match supervisor::fork()? {
            Forked::Init(pid) => {
                let begun = Instant::now();
                self.look = Some(Look {
                    pid,
                    result,
                    begun,
                    free,
                });
                Ok(State::Within(MEANWHILE))
            }
            Forked::Supervisor => {
                let used = used(self.limit).unwrap_or(u64::MAX);
                let told = rustix::io::write(&tell, &used.to_ne_bytes());
                leave(i32::from(told.is_err()))
            }
        }
    }
}

/// The bytes that are free where the workspace is.
fn free() -> io::Result<u64> {
    let stat = statvfs(WORKSPACE)?;
    Ok(stat.f_bfree.saturating_mul(stat.f_frsize))
}

/// The bytes in use; more than any limit where they cannot be counted.
fn used(limit: u64) -> io::Result<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path| openat(CWD, path, flags, Mode::empty());
    let folders = [open(WORKSPACE)?, open(HOME)?];
    let budget = WalkBudget {
        entries: MOST_FILES,
        time: LONGEST_LOOK,
        enough_bytes: limit.saturating_add(1),
    };
    let named = disk::usage(&folders, &budget);
    if !named.complete && named.bytes <= limit {
        return Ok(u64::MAX);
    }
    // Processes that hide their files, as this one does, are not asked for them.
    let deleted = disk::deleted(Path::new("/proc"), &folders, &budget);
    Ok(named.bytes.saturating_add(deleted.bytes))
}

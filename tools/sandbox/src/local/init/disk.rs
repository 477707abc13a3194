//! Keeps the sandbox within its disk.
//!
//! Process 1 asks for what is free, which costs nothing; a look at every file is a child's work,
//! so that commands are started meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, StatVfs, openat, statvfs};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use super::supervisor::{self, Forked, leave};
use crate::disk::{self, Step, Usage, WalkBudget, Watch};
use crate::local::plan::{HOME, WORKSPACE};
use crate::local::wire::Excess;

/// The most files and folders, whatever they take: each costs the host a node, of which a file
/// system may have a fixed number.
const MAX_FILES: u64 = 2_000_000;
/// So many new files are worth a look.
const MANY_FILES: u64 = MAX_FILES / 4;
/// A look for the sake of files is not repeated for this many times what the last one took: others
/// make files on the same file system, too.
const REST: u32 = 4;

/// A look that takes longer has seen a sandbox that cannot be kept within limits.
const LONGEST_LOOK: Duration = Duration::from_secs(120);
/// The same for files without a name, of which those that are not found in time are not counted.
const LONGEST_LOOK_AT_DELETED: Duration = Duration::from_secs(30);
/// A look that has not ended by itself after this time never will: where commands can signal it,
/// one of them may have stopped it.
const DEADLINE: Duration = LONGEST_LOOK
    .saturating_add(LONGEST_LOOK_AT_DELETED)
    .saturating_add(Duration::from_secs(30));

/// A look that was ended from outside is made again this often, before the sandbox counts as one
/// that does not want to be looked at.
const BROKEN_LOOKS: u32 = 3;

/// The time between two attempts to start a look, while no process can be started.
const RETRY: Duration = Duration::from_secs(1);
/// A sandbox that is full of processes for longer is not looked at any more, and may be so in order
/// not to be.
const LONGEST_UNSTARTED: Duration = Duration::from_secs(300);

/// What became of the disk.
pub(super) enum State {
    /// It is within its limit. Ask again after this time.
    Within(Duration),
    /// There is more than may be.
    Exceeded(Excess),
}

pub(super) struct Disk {
    limit: u64,
    watch: Watch,
    last: Last,
    look: Option<Look>,
    broken: u32,
    /// Since when a look has been due that cannot be started.
    unstarted: Option<Instant>,
}

/// The last look that is over.
struct Last {
    ended: Instant,
    took: Duration,
    free_files: u64,
}

/// A look under way.
struct Look {
    pid: Pid,
    result: OwnedFd,
    begun: Instant,
    free: Free,
}

/// While a look is under way, its end is told by a signal.
const MEANWHILE: Duration = Duration::from_secs(60);

impl Disk {
    /// Watches over workspace and home.
    pub(super) fn watch(limit: u64) -> io::Result<Self> {
        let free = free()?;
        let mut watch = Watch::new(limit);
        // What a fresh checkout takes is counted by the first look, which is not worth a start.
        watch.walked(0, free.bytes, Duration::ZERO);
        Ok(Self::new(limit, watch, free))
    }

    fn new(limit: u64, watch: Watch, free: Free) -> Self {
        Self {
            limit,
            watch,
            last: Last {
                ended: Instant::now(),
                took: Duration::ZERO,
                free_files: free.files,
            },
            look: None,
            broken: 0,
            unstarted: None,
        }
    }

    /// The process that looks, which is nobody's command.
    pub(super) fn looking(&self) -> Option<Pid> {
        self.look.as_ref().map(|look| look.pid)
    }

    /// Looks if it is time to.
    pub(super) fn check(&mut self) -> io::Result<State> {
        if let Some(look) = &self.look {
            return Ok(State::Within(look.remind()));
        }
        let free = free()?;
        match self.watch.next(free.bytes, self.last.ended.elapsed()) {
            Step::Sleep(pause) if !self.last.is_outdated(&free) => Ok(State::Within(pause)),
            Step::Sleep(_) | Step::Walk => self.start(free),
            Step::Exceeded => Ok(State::Exceeded(Excess::Bytes(self.limit))),
        }
    }

    /// Takes in what the process that looked has found. To be called when it has ended.
    pub(super) fn finish(&mut self) -> State {
        let Some(look) = self.look.take() else {
            return State::Within(Duration::ZERO);
        };
        self.last.ended = Instant::now();
        let mut bytes = [0; Found::BYTES];
        if !matches!(rustix::io::read(&look.result, &mut bytes), Ok(Found::BYTES)) {
            self.broken += 1;
            return match self.broken < BROKEN_LOOKS {
                true => State::Within(Duration::ZERO),
                false => State::Exceeded(Excess::Unknown),
            };
        }
        self.broken = 0;
        let found = Found::from_bytes(&bytes);
        if let Some(excess) = found.excess(self.limit) {
            return State::Exceeded(excess);
        }
        self.last.took = look.begun.elapsed();
        self.last.free_files = look.free.files;
        self.watch
            .walked(found.bytes, look.free.bytes, self.last.took);
        State::Within(Duration::ZERO)
    }

    fn start(&mut self, free: Free) -> io::Result<State> {
        match begin(self.limit, free) {
            Ok(look) => {
                self.look = Some(look);
                self.unstarted = None;
                Ok(State::Within(MEANWHILE))
            }
            Err(error) if is_shortage(&error) => Ok(self.later()),
            Err(error) => Err(error),
        }
    }

    /// The sandbox, or the host, has no room for a further process just now.
    fn later(&mut self) -> State {
        let since = *self.unstarted.get_or_insert_with(Instant::now);
        match since.elapsed() > LONGEST_UNSTARTED {
            true => State::Exceeded(Excess::Unknown),
            false => State::Within(RETRY),
        }
    }
}

impl Last {
    /// Whether so many files were made since that it is worth a look.
    fn is_outdated(&self, free: &Free) -> bool {
        let made = self.free_files.saturating_sub(free.files);
        made >= MANY_FILES && self.ended.elapsed() >= self.took * REST
    }
}

impl Look {
    /// Ends it if it is late, so that it counts as broken. Answers when to ask again.
    fn remind(&self) -> Duration {
        let left = DEADLINE.saturating_sub(self.begun.elapsed());
        if !left.is_zero() {
            return left.min(MEANWHILE);
        }
        // It is not reaped yet, so the number is nobody else's. The signal of its end comes soon.
        let _ = kill_process(self.pid, Signal::KILL);
        MEANWHILE
    }
}

/// Starts a look. Returns in this process only.
fn begin(limit: u64, free: Free) -> io::Result<Look> {
    let (result, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    match supervisor::fork()? {
        Forked::Init(pid) => Ok(Look {
            pid,
            result,
            begun: Instant::now(),
            free,
        }),
        Forked::Supervisor => {
            let found = found(limit).unwrap_or(Found::UNKNOWN);
            let told = rustix::io::write(&tell, &found.to_bytes());
            leave(i32::from(told.is_err()))
        }
    }
}

/// Whether something is used up that may be there again later.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
    )
}

/// What is free where workspace and home are.
struct Free {
    bytes: u64,
    files: u64,
}

fn free() -> io::Result<Free> {
    Ok(free_of(&statvfs(WORKSPACE)?, &statvfs(HOME)?))
}

/// What both have, which may be the same.
fn free_of(workspace: &StatVfs, home: &StatVfs) -> Free {
    let [mut free, other] = [workspace, home].map(|stat| Free {
        bytes: stat.f_bfree.saturating_mul(stat.f_frsize),
        files: stat.f_ffree,
    });
    if workspace.f_fsid != home.f_fsid {
        free.bytes = free.bytes.saturating_add(other.bytes);
        free.files = free.files.saturating_add(other.files);
    }
    free
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    bytes: u64,
    files: u64,
}

impl Found {
    const BYTES: usize = 16;

    /// Not everything could be looked at.
    const UNKNOWN: Self = Self {
        bytes: u64::MAX,
        files: 0,
    };

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let both = (u128::from(self.bytes) << 64) | u128::from(self.files);
        both.to_be_bytes()
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let both = u128::from_be_bytes(*bytes);
        let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        Self {
            bytes: half(both >> 64),
            files: half(both),
        }
    }

    /// What there is too much of, if anything.
    fn excess(self, limit: u64) -> Option<Excess> {
        if self == Self::UNKNOWN {
            return Some(Excess::Unknown);
        }
        if self.bytes > limit {
            return Some(Excess::Bytes(self.bytes));
        }
        (self.files > MAX_FILES).then_some(Excess::Files(MAX_FILES))
    }
}

fn found(limit: u64) -> io::Result<Found> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path| openat(CWD, path, flags, Mode::empty());
    let folders = [open(WORKSPACE)?, open(HOME)?];
    let budget = WalkBudget {
        entries: MAX_FILES + 1,
        time: LONGEST_LOOK,
        enough_bytes: limit.saturating_add(1),
    };
    let named = disk::usage(&folders, &budget);
    let budget = WalkBudget {
        time: LONGEST_LOOK_AT_DELETED,
        ..budget
    };
    // Processes that hide their files, as this one does, are not asked for them.
    let deleted = disk::deleted(Path::new("/proc"), &folders, &budget);
    Ok(both(named, deleted, limit))
}

/// A look that was cut short has found enough, or nothing that says anything.
fn both(named: Usage, deleted: Usage, limit: u64) -> Found {
    let all = named.and(deleted);
    let found = Found {
        bytes: all.bytes,
        files: all.files,
    };
    match named.complete || found.excess(limit).is_some() {
        true => found,
        false => Found::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command};

    use super::*;

    const LIMIT: u64 = 1 << 30;

    fn disk() -> Disk {
        let free = Free {
            bytes: 1 << 40,
            files: 1 << 30,
        };
        Disk::new(LIMIT, Watch::new(LIMIT), free)
    }

    fn begun(child: &Child, ago: Duration, told: &[u8]) -> Look {
        let (result, tell) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&tell, told).unwrap();
        Look {
            pid: Pid::from_child(child),
            result,
            begun: Instant::now().checked_sub(ago).unwrap(),
            free: Free {
                bytes: 1 << 40,
                files: 1 << 30,
            },
        }
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_look_that_was_stopped_is_killed_at_its_deadline_and_counts_as_broken() {
        let mut child = sleeper();
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        let mut disk = disk();
        let almost = DEADLINE.checked_sub(Duration::from_secs(20)).unwrap();
        disk.look = Some(begun(&child, almost, b""));
        assert!(matches!(disk.check().unwrap(), State::Within(pause) if pause <= MEANWHILE / 3));
        assert!(child.try_wait().unwrap().is_none());

        disk.look = Some(begun(&child, DEADLINE, b""));
        assert!(matches!(disk.check().unwrap(), State::Within(pause) if !pause.is_zero()));
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(matches!(disk.finish(), State::Within(_)));
        assert_eq!(disk.broken, 1);
    }

    #[test]
    fn what_there_is_too_much_of_is_told() {
        let mut child = sleeper();
        let after = |bytes, files| {
            let mut disk = disk();
            let found = Found { bytes, files };
            disk.look = Some(begun(&child, Duration::ZERO, &found.to_bytes()));
            match disk.finish() {
                State::Within(_) => None,
                State::Exceeded(excess) => Some(excess),
            }
        };
        assert_eq!(after(LIMIT, MAX_FILES), None);
        let bytes = LIMIT + 1;
        assert_eq!(after(bytes, 1), Some(Excess::Bytes(bytes)));
        let files = Some(Excess::Files(MAX_FILES));
        assert_eq!(after(1, MAX_FILES + 1), files);
        assert_eq!(after(u64::MAX, 0), Some(Excess::Unknown));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_look_that_was_cut_short_says_something_only_beyond_a_limit() {
        let usage = |bytes, files, complete| Usage {
            bytes,
            files,
            complete,
        };
        let nothing = usage(0, 0, true);
        let cut = |bytes, files| both(usage(bytes, files, false), nothing, LIMIT);
        assert_eq!(cut(1, 1), Found::UNKNOWN);
        let many = MAX_FILES + 1;
        assert_eq!(cut(1, many).files, many);
        assert_eq!(cut(LIMIT + 1, 1).bytes, LIMIT + 1);
        // Processes that hide their files end no honest run.
        let hidden = both(usage(1, 2, true), usage(3, 4, false), LIMIT);
        assert_eq!(hidden, Found { bytes: 4, files: 6 });
    }

    #[test]
    fn many_new_files_are_worth_a_look() {
        let mut disk = disk();
        let after = |made: u64| Free {
            bytes: 1 << 40,
            files: (1 << 30) - made,
        };
        assert!(!disk.last.is_outdated(&after(MANY_FILES - 1)));
        assert!(disk.last.is_outdated(&after(MANY_FILES)));
        disk.last.took = Duration::from_secs(60);
        assert!(!disk.last.is_outdated(&after(MANY_FILES)));
    }

    #[test]
    fn a_look_that_cannot_be_started_is_put_off_but_not_for_ever() {
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::EAGAIN)));
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::ENOMEM)));
        assert!(!is_shortage(&io::Error::from_raw_os_error(libc::EPERM)));
        let mut disk = disk();
        assert!(matches!(disk.later(), State::Within(RETRY)));
        let long_ago = Instant::now().checked_sub(LONGEST_UNSTARTED * 2);
        disk.unstarted = Some(long_ago.unwrap());
        assert!(matches!(disk.later(), State::Exceeded(Excess::Unknown)));
    }

    #[test]
    fn a_home_on_another_file_system_counts_too() {
        let here = statvfs("/").unwrap();
        let of = |stat: &StatVfs| stat.f_bfree * stat.f_frsize;
        assert_eq!(free_of(&here, &here).bytes, of(&here));
        let mut home = statvfs("/").unwrap();
        home.f_fsid ^= 1;
        let both = free_of(&here, &home);
        assert_eq!(both.bytes, of(&here) + of(&home));
        assert_eq!(both.files, here.f_ffree + home.f_ffree);
    }
}

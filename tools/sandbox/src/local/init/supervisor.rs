//! Stays with one command until nothing of it is left.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait, waitpid};

use super::command::{self, Refusal};
use super::{Inside, sweep};
use crate::local::signals::Signals;
use crate::local::wire::{self, End, Reply, Spawn};

/// The signal by which init tells a supervisor to end its command.
pub(super) const KILL: libc::c_int = libc::SIGTERM;

/// How a supervisor ends that has told everything. Any other end is told by init.
const DONE: i32 = 0;
const FAILED: i32 = 1;

/// Which of the two processes this is.
pub(super) enum Forked {
    Init(Pid),
    Supervisor,
}

/// Forks this process, which has one thread.
#[expect(unsafe_code, reason = "no crate here offers fork")]
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: with one thread the child is a full copy, in which anything may be done.
    match unsafe { libc::fork() } {
        ..0 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid).map_or(Forked::Supervisor, Forked::Init)),
    }
}

/// The whole life of a supervisor.
pub(super) fn run(inside: &Inside, spawn: Spawn, descriptors: Vec<OwnedFd>) -> ! {
    let id = spawn.id;
    let code = match supervise(inside, spawn, descriptors) {
        Ok(()) => DONE,
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(0);
            let why = "its supervisor failed".to_owned();
            // After a start it is too late for a refusal; the server then waits for init's word.
            let _ = wire::send(&inside.socket, &Reply::Refused { id, why, errno }, &[]);
            FAILED
        }
    };
    leave(code)
}

/// Ends this process and nothing else: what is buffered or registered belongs to its parent.
#[expect(
    unsafe_code,
    reason = "a forked process must not run its parent's exit handlers"
)]
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

fn supervise(inside: &Inside, spawn: Spawn, descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let id = spawn.id;
    rustix::thread::set_name(c"supervisor")?;
    set_child_subreaper(Some(getpid()))?;
    let signals = Signals::queue(&[libc::SIGCHLD, KILL])?;
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    let command = match fork()? {
        Forked::Init(pid) => pid,
        Forked::Supervisor => {
            let refusal = command::start(inside, &spawn, &descriptors);
            // The supervisor hears it, or nobody does.
            let _ = rustix::io::write(&tell, &refusal.to_bytes());
            leave(FAILED)
        }
    };
    drop((spawn, descriptors, tell));
    if let Some(refusal) = await_start(&told)? {
        waitpid(Some(command), WaitOptions::empty())?;
        let Refusal { why, errno } = refusal;
        return wire::send(&inside.socket, &Reply::Refused { id, why, errno }, &[]);
    }
    let pid = command.as_raw_nonzero().get();
    wire::send(&inside.socket, &Reply::Started { id, pid }, &[])?;
    let end = await_end(command, &signals)?;
    wire::send(&inside.socket, &Reply::Exit { id, end }, &[])
}

/// The pipe closes without a word when the program is started.
fn await_start(told: &OwnedFd) -> io::Result<Option<Refusal>> {
    let mut bytes = [0; Refusal::MAX_BYTES];
    loop {
        match rustix::io::read(told.as_fd(), &mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => return Ok(Some(Refusal::from_bytes(&bytes[..count]))),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of the command, or for the word to end it, and ends all that it started.
fn await_end(command: Pid, signals: &Signals) -> io::Result<End> {
    let mut end = None;
    while end.is_none() && signals.next()? == libc::SIGCHLD {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            note(&mut end, command, pid, status);
        }
    }
    sweep::everything(|pid, status| note(&mut end, command, pid, status))?;
    Ok(end.unwrap_or(End::Signal(libc::SIGKILL)))
}

fn note(end: &mut Option<End>, command: Pid, pid: Pid, status: WaitStatus) {
    if pid != command {
        return;
    }
    *end = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(End::Code(code)),
        (None, Some(signal)) => Some(End::Signal(signal)),
        (None, None) => None,
    };
}

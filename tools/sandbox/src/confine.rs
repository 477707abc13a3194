//! What every process that the server starts has in common: another session, no inherited
//! descriptors, no way to more rights.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What becomes of a process between its start and its program.
#[derive(Clone, Copy)]
pub(crate) struct Confinement {
    /// The user to become, where it is another one.
    pub(crate) uid: Option<u32>,
    /// Whether it dies with the thread that starts it.
    pub(crate) dies: bool,
    /// Whether it may start programs that raise its rights.
    pub(crate) may_gain_rights: bool,
}

/// Makes `command` start in a session of its own, without inherited descriptors, as told.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
pub(crate) fn confine(command: &mut Command, how: Confinement) {
    if let Some(uid) = how.uid {
        // As root, this also empties the list of supplementary groups.
        command.gid(uid).uid(uid);
    }
    let parent = how.dies.then(rustix::process::getpid);
    let keeps_rights = !how.may_gain_rights;
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(move || between(parent, keeps_rights)) };
}

/// Between fork and exec, as the new user.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
fn between(parent: Option<rustix::process::Pid>, keeps_rights: bool) -> io::Result<()> {
    // SAFETY: system calls without pointers.
    unsafe {
        // A session of its own has no terminal to type into, and is a group to kill.
        if libc::setsid() < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::umask(0o022);
    }
    #[cfg(target_os = "linux")]
    linux::between(parent, keeps_rights)?;
    #[cfg(not(target_os = "linux"))]
    let _ = (parent, keeps_rights);
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    /// The first descriptor after standard input, output and error.
    const FIRST_INHERITED: libc::c_uint = 3;

    #[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
    pub(super) fn between(parent: Option<Pid>, keeps_rights: bool) -> io::Result<()> {
        // SAFETY: system calls without pointers.
        unsafe {
            if keeps_rights && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            // Close on exec, not now: the descriptor that reports a failed exec is among them.
            // Kernels before 5.11 do not know it; the server's own are closed on exec anyway.
            libc::syscall(
                libc::SYS_close_range,
                FIRST_INHERITED,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
        }
        let Some(parent) = parent else {
            return Ok(());
        };
        set_parent_process_death_signal(Some(Signal::KILL))?;
        match getppid() == Some(parent) {
            true => Ok(()),
            // The server died before the line above could notice.
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }
}

//! The one call that creates the namespaces.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::process::Pid;

use crate::local::step::{During as _, Failure, Step};

/// Everything but the cgroup namespace, which init makes itself when it is in its cgroup, and the
/// time namespace, which hides nothing.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Which of the two processes this is.
pub(super) enum Cloned {
    Inside,
    Outside(Init),
}

/// Process 1 of the new namespaces, seen from outside.
pub(super) struct Init {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

/// Forks this process into new namespaces.
pub(super) fn clone() -> Result<Cloned, Failure> {
    clone3().during(Step::Namespaces, || {
        "create user, mount, process, network, IPC and host name namespaces".to_owned()
    })
}

#[expect(unsafe_code, reason = "no crate here offers clone3")]
fn clone3() -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: zero means "not given" for every field.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((NAMESPACES | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: without shared memory or a new stack this is a fork, and since the launcher has one
    // thread, the child may go on like any process. The kernel writes the descriptor to `pidfd`,
    // which outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        None => Ok(Cloned::Inside),
        Some(pid) => Ok(Cloned::Outside(Init {
            pid,
            // SAFETY: the kernel has just made it for this process alone.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

//! Who init is: its life, its user, its session, its names.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Gid, Signal, Uid, set_parent_process_death_signal, setsid};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid, unshare_unsafe};

use crate::local::plan::{Plan, USER_ID};
use crate::local::step::{During as _, Failure, Step};

/// Waits until the launcher has mapped the user. Without a launcher there is no release.
pub(super) fn await_release(released: &OwnedFd) -> Result<(), Failure> {
    let detail = || "wait for the launcher".to_owned();
    set_parent_process_death_signal(Some(Signal::KILL)).during(Step::Death, detail)?;
    match rustix::io::read(released, &mut [0; 1]).during(Step::Death, detail)? {
        0 => Err(io::ErrorKind::UnexpectedEof).during(Step::Death, detail),
        _ => Ok(()),
    }
}

/// Leaves what is still shared with the server's session.
#[expect(unsafe_code, reason = "no crate here offers the kernel's key rings")]
pub(super) fn leave_host() -> Result<(), Failure> {
    // Now that it is in its cgroup, that is the root of all it can see.
    // SAFETY: there is one thread, and no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .during(Step::Namespaces, || "create a cgroup namespace".to_owned())?;
    setsid().during(Step::Identity, || "start a session".to_owned())?;
    // A key ring of its own instead of the server's. A kernel without key rings has none to leave.
    // SAFETY: no name is given, so the kernel reads no memory.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    Ok(())
}

/// Becomes the sandbox's user, keeping every right inside.
pub(super) fn become_user(released: &OwnedFd) -> Result<(), Failure> {
    let detail = || format!("become user {USER_ID}");
    let (uid, gid) = (Uid::from_raw(USER_ID), Gid::from_raw(USER_ID));
    set_thread_res_gid(gid, gid, gid).during(Step::Identity, detail)?;
    set_thread_res_uid(uid, uid, uid).during(Step::Identity, detail)?;
    // Another user is no longer told of its parent's death.
    set_parent_process_death_signal(Some(Signal::KILL)).during(Step::Death, detail)?;
    check_launcher(released)
}

/// The launcher may have died when nobody was told. Its end of the pipe is open while it lives.
fn check_launcher(released: &OwnedFd) -> Result<(), Failure> {
    let detail = || "look for the launcher".to_owned();
    let mut end = [PollFd::new(released, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut end, Some(&now)).during(Step::Death, detail)? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof).during(Step::Death, detail),
    }
}

/// The names that processes inside can ask for.
pub(super) fn name_host(plan: &Plan) -> Result<(), Failure> {
    let detail = || format!("name the host {}", plan.hostname);
    rustix::system::sethostname(plan.hostname.as_bytes()).during(Step::HostName, detail)?;
    rustix::system::setdomainname(b"(none)").during(Step::HostName, detail)
}

//! From a plan to an init that runs.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};
use rustix::thread::set_thread_groups;

use super::namespaces::{self, Cloned, Init};
use crate::local::plan::{Plan, USER_ID};
use crate::local::step::{During as _, Failure, Step};
use crate::local::wire::{self, Reply};

/// Which of the two processes this is.
pub(super) enum Created {
    /// Init, which waits for its release.
    Inside {
        plan: Plan,
        released: OwnedFd,
    },
    Outside(Sandbox),
}

/// A sandbox, seen from outside.
pub(super) struct Sandbox {
    init: Init,
    /// The other end tells init whether the launcher lives.
    release: OwnedFd,
    /// Closed when init has ended, so that the server sees the end only when nothing inside runs.
    socket: Option<OwnedFd>,
}

impl Sandbox {
    pub(super) fn pid(&self) -> Pid {
        self.init.pid
    }

    pub(super) fn hold(&mut self, socket: OwnedFd) {
        self.socket = Some(socket);
    }

    pub(super) fn kill(&self) {
        // It fails only if init has ended already.
        let _ = pidfd_send_signal(&self.init.pidfd, Signal::KILL);
    }
}

/// Creates a sandbox and lets it go.
pub(super) fn sandbox(plan: &OwnedFd, socket: &OwnedFd) -> Result<Created, Failure> {
    let plan = Plan::from_file(plan).during(Step::Plan, || "read the plan".to_owned())?;
    if plan.user.is_some() {
        // Inside, groups can no longer be left.
        set_thread_groups(&[]).during(Step::Identity, || "leave root's groups".to_owned())?;
    }
    let (released, release) = pipe_with(PipeFlags::CLOEXEC)
        .during(Step::Death, || "make a pipe to process 1".to_owned())?;
    let init = match namespaces::clone()? {
        Cloned::Inside => return Ok(Created::Inside { plan, released }),
        Cloned::Outside(init) => init,
    };
    let sandbox = Sandbox {
        init,
        release,
        socket: None,
    };
    let released = prepare(&plan, &sandbox.init).and_then(|()| sandbox.let_go(socket));
    if released.is_err() {
        sandbox.kill();
        // Killed, it ends soon.
        let _ = waitpid(Some(sandbox.pid()), WaitOptions::empty());
    }
    released.map(|()| Created::Outside(sandbox))
}

impl Sandbox {
    /// Gives the server a hold on init, and lets init go.
    fn let_go(&self, socket: &OwnedFd) -> Result<(), Failure> {
        wire::send(socket, &Reply::Created, &[self.init.pidfd.as_fd()])
            .during(Step::Socket, || "tell the server of process 1".to_owned())?;
        rustix::io::write(&self.release, &[1])
            .map(drop)
            .during(Step::Death, || "release process 1".to_owned())
    }
}

/// What only the outside can do for init, before it runs.
fn prepare(plan: &Plan, init: &Init) -> Result<(), Failure> {
    map_user(plan, init)?;
    for file in &plan.cgroup_procs {
        fs::write(file, init.pid.to_string()).during(Step::Cgroup, || {
            format!("write process 1 into {}", file.display())
        })?;
    }
    Ok(())
}

fn map_user(plan: &Plan, init: &Init) -> Result<(), Failure> {
    let (user, group) = match plan.user {
        Some(user) => (user, user),
        None => (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
    };
    let files = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{USER_ID} {user} 1\n")),
        ("gid_map", format!("{USER_ID} {group} 1\n")),
    ];
    for (name, content) in files {
        let path = format!("/proc/{}/{name}", init.pid);
        fs::write(&path, content.as_bytes()).during(Step::UserMap, || {
            format!("write `{}` to the {name} of process 1", content.trim_end())
        })?;
    }
    Ok(())
}

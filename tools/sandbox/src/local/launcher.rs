//! The launcher: creates the namespaces with init in them, and waits for its end.

mod namespaces;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_dumpable_behavior,
    waitid,
};
use rustix::thread::set_thread_groups;

use namespaces::{Cloned, Init};

use super::descriptors::take_socket;
use super::init;
use super::plan::{Plan, USER_ID};
use super::signals::{Signals, reset_actions};
use super::step::{During as _, Failure, Step};
use super::wire::{self, MAX_MESSAGE_BYTES, Reply, Request};

/// What ends the sandbox when the launcher gets it, and the end of init.
const SIGNALS: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Runs the launcher, whose standard input is the server's socket. It is the whole life of the
/// process, which must have one thread.
#[must_use]
pub fn launcher_main() -> ExitCode {
    let Ok(socket) = take_socket() else {
        return ExitCode::FAILURE;
    };
    reset_actions();
    match launch(&socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody listens any more, nobody wants to know.
            let _ = wire::send(&socket, &Reply::Failed(failure), &[]);
            ExitCode::FAILURE
        }
    }
}

/// The launcher's way and, after the clone, init's. The socket stays open until the end of both, so
/// that the server sees it closed only when nothing inside runs any more.
fn launch(socket: &OwnedFd) -> Result<(), Failure> {
    let plan = receive_plan(socket)?;
    if plan.user.is_some() {
        // Inside, groups can no longer be left.
        set_thread_groups(&[]).during(Step::Identity, || "leave root's groups".to_owned())?;
    }
    let signals = Signals::queue(&SIGNALS).during(Step::Death, || "queue signals".to_owned())?;
    let (released, release) = pipe_with(PipeFlags::CLOEXEC)
        .during(Step::Death, || "make a pipe to process 1".to_owned())?;
    match namespaces::clone()? {
        Cloned::Inside => {
            drop((release, signals));
            init::run(&plan, socket, released)
        }
        Cloned::Outside(init) => {
            drop(released);
            let prepared = prepare(&plan, &init).and_then(|()| {
                rustix::io::write(&release, &[1])
                    .map(drop)
                    .during(Step::Death, || "release process 1".to_owned())
            });
            drop(plan);
            if prepared.is_err() {
                kill(&init);
            }
            wait(&init, &signals);
            prepared
        }
    }
}

fn receive_plan(socket: &OwnedFd) -> Result<Plan, Failure> {
    let detail = || "read the plan".to_owned();
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let received = wire::receive::<Request>(socket, &mut buffer).during(Step::Plan, detail)?;
    let mut descriptors = match received {
        Some(received) if matches!(received.message, Request::Open) => received.descriptors,
        _ => Vec::new(),
    };
    let file = descriptors.pop().ok_or(io::ErrorKind::InvalidData);
    let file = file.during(Step::Plan, detail)?;
    Plan::from_file(file).during(Step::Plan, detail)
}

/// What only the outside can do for init, before it runs.
fn prepare(plan: &Plan, init: &Init) -> Result<(), Failure> {
    map_user(plan, init)?;
    for file in &plan.cgroup_procs {
        fs::write(file, init.pid.to_string()).during(Step::Cgroup, || {
            format!("write process 1 into {}", file.display())
        })?;
    }
    // Only now: the files of a process that cannot be dumped are root's, those of init too.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(Step::Privileges, || "hide the launcher's memory".to_owned())
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

/// Waits for the end of init, and with it of everything inside.
fn wait(init: &Init, signals: &Signals) {
    let ended = || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(init.pid), options).map_or(true, |status| status.is_some())
    };
    while !ended() {
        match signals.next() {
            Ok(libc::SIGCHLD) => {}
            // Without a queue of signals, waiting is all that is left.
            Ok(_) | Err(_) => kill(init),
        }
    }
}

fn kill(init: &Init) {
    // It fails only if init has ended already.
    let _ = pidfd_send_signal(&init.pidfd, Signal::KILL);
}

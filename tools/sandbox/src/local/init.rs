//! Process 1 of the sandbox: builds it from inside, then serves.

mod command;
mod identity;
mod landlock;
mod mount;
mod network;
mod privileges;
mod root;
mod seccomp;
mod serve;
mod supervisor;
mod sweep;

use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};

use super::plan::{Limits, Plan};
use super::step::{During as _, Failure, Step};
use super::wire::{self, Reply};

/// What the processes inside are started with.
struct Inside<'a> {
    socket: &'a OwnedFd,
    /// The Landlock rules of commands, where the kernel has Landlock.
    rules: Option<OwnedFd>,
    limits: Limits,
}

/// Opens the sandbox once `released`, then starts processes in it until the server is gone.
pub(super) fn run(plan: &Plan, socket: &OwnedFd, released: OwnedFd) -> Result<(), Failure> {
    let (rules, listener) = open(plan, released)?;
    let inside = Inside {
        socket,
        rules,
        limits: plan.limits,
    };
    let attached: Vec<_> = listener.iter().map(|listener| listener.as_fd()).collect();
    rustix::thread::set_name(c"init").during(Step::Identity, || "take a name".to_owned())?;
    wire::send(socket, &Reply::Ready, &attached)
        .during(Step::Socket, || "tell the server".to_owned())?;
    drop(listener);
    serve::serve(&inside).during(Step::Socket, || "serve the server".to_owned())
}

/// The order matters: sources of the host are taken with the rights of the server's user; mounting
/// needs the sandbox's own; and each later step leaves fewer rights to the next.
fn open(plan: &Plan, released: OwnedFd) -> Result<(Option<OwnedFd>, Option<TcpListener>), Failure> {
    identity::await_release(&released)?;
    identity::leave_host()?;
    let sources = root::Sources::take(plan)?;
    identity::become_user(&released)?;
    drop(released);
    root::build(plan, sources)?;
    let listener = network::open(plan)?;
    identity::name_host(plan)?;
    let rules = landlock::rules()?;
    privileges::give_up()?;
    seccomp::install()?;
    Ok((rules, listener))
}

//! Process 1 of the sandbox: builds it from inside, then serves.

mod command;
mod disk;
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

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};

use disk::Disk;
pub use landlock::abi as landlock_abi;

use super::plan::{Limits, Plan};
use super::step::{During as _, Failure, Step};
use super::wire::{self, Reply};

/// What the processes inside are started with.
struct Inside {
    socket: OwnedFd,
    /// The Landlock rules of commands, where the kernel has Landlock.
    rules: Option<OwnedFd>,
    limits: Limits,
}

/// The rules of commands, the proxy's listener, and the watch over the disk.
type Opened = (Option<OwnedFd>, Option<TcpListener>, Disk);

/// Opens the sandbox once `released`, then starts processes in it until the server is gone.
pub(super) fn run(plan: Plan, socket: OwnedFd, released: OwnedFd) -> io::Result<()> {
    let opened = open(&plan, released).and_then(|(rules, listener, disk)| {
        let attached: Vec<_> = listener.iter().map(|listener| listener.as_fd()).collect();
        wire::send(&socket, &Reply::Ready, &attached)
            .during(Step::Socket, || "tell the server".to_owned())?;
        Ok((rules, disk))
    });
    match opened {
        Ok((rules, disk)) => {
            let inside = Inside {
                socket,
                rules,
                limits: plan.limits,
            };
            serve::serve(&inside, disk)
        }
        Err(failure) => wire::send(&socket, &Reply::Failed(failure), &[]),
    }
}

/// The order matters: sources of the host are taken with the rights of the server's user; mounting
/// needs the sandbox's own; and each later step leaves fewer rights to the next.
fn open(plan: &Plan, released: OwnedFd) -> Result<Opened, Failure> {
    identity::await_release(&released)?;
    identity::leave_host()?;
    let sources = root::Sources::take(plan)?;
    identity::become_user(&released)?;
    drop(released);
    root::build(plan, sources)?;
    let listener = network::open(plan)?;
    identity::name_host(plan)?;
    let rules = landlock::rules()?;
    let disk = Disk::watch(plan.limits.disk_bytes)
        .during(Step::Mount, || "watch the workspace's disk".to_owned())?;
    privileges::give_up()?;
    seccomp::install()?;
    rustix::thread::set_name(c"init").during(Step::Identity, || "take a name".to_owned())?;
    Ok((rules, listener, disk))
}

//! Starts and ends processes for the server, and reaps.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::disk::{Disk, State};
use super::supervisor::{self, Forked};
use super::{Inside, sweep};
use crate::local::signals::Signals;
use crate::local::wire::{self, End, Excess, MAX_MESSAGE_BYTES, Reply, Request, Spawn};

/// What is queued: the end of a child, and a signal that supervisors understand and must not miss
/// before they listen.
const SIGNALS: [libc::c_int; 2] = [libc::SIGCHLD, supervisor::KILL];

/// The supervisors that run, by the number of their spawn.
type Supervisors = BTreeMap<u64, Pid>;

/// Serves until the server closes the socket.
pub(super) fn serve(inside: &Inside, mut disk: Disk) -> io::Result<()> {
    let signals = Signals::queue(&SIGNALS)?;
    let mut supervisors = Supervisors::new();
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    loop {
        let pause = match disk.check()? {
            State::Within(pause) => pause,
            State::Exceeded(excess) => return full(inside, excess),
        };
        let (signal_ready, socket_ready) = signals.or_input(&inside.socket, Some(pause))?;
        if signal_ready {
            signals.next()?;
            if let State::Exceeded(excess) = reap(inside, &mut supervisors, &mut disk)? {
                return full(inside, excess);
            }
        }
        if !socket_ready {
            continue;
        }
        let Some(received) = wire::receive::<Request>(&inside.socket, &mut buffer)? else {
            return Ok(());
        };
        match received.message {
            Request::Open => {}
            Request::Kill { id } => kill(&supervisors, id),
            Request::Spawn(spawn) => {
                start(inside, &mut supervisors, spawn, received.descriptors)?;
            }
        }
    }
}

fn start(
    inside: &Inside,
    supervisors: &mut Supervisors,
    spawn: Spawn,
    descriptors: Vec<OwnedFd>,
) -> io::Result<()> {
    let id = spawn.id;
    match supervisor::fork() {
        Ok(Forked::Supervisor) => supervisor::run(inside, spawn, descriptors),
        Ok(Forked::Init(pid)) => {
            supervisors.insert(id, pid);
            Ok(())
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(0);
            let why = "no further process can be started".to_owned();
            wire::send(&inside.socket, &Reply::Refused { id, why, errno }, &[])
        }
    }
}

fn kill(supervisors: &Supervisors, id: u64) {
    // One that has ended is no longer in the list, so its number is nobody else's.
    if let Some(pid) = supervisors.get(&id) {
        let _ = kill_process(*pid, Signal::TERM);
        // Where commands can signal it, one of them may have stopped it.
        let _ = kill_process(*pid, Signal::CONT);
    }
}

/// The server learns why the sandbox ends, which it does with this process.
fn full(inside: &Inside, excess: Excess) -> io::Result<()> {
    wire::send(&inside.socket, &Reply::DiskFull { excess }, &[])
}

/// Takes note of every child that has ended.
fn reap(inside: &Inside, supervisors: &mut Supervisors, disk: &mut Disk) -> io::Result<State> {
    let mut state = State::Within(Duration::ZERO);
    let mut killed = Vec::new();
    let mut strangers = false;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if disk.looking() == Some(pid) {
            state = disk.finish();
            continue;
        }
        let id = supervisors.iter().find(|(_, known)| **known == pid);
        match id.map(|(id, _)| *id) {
            Some(id) => {
                supervisors.remove(&id);
                if status.exit_status() != Some(0) {
                    killed.push(id);
                }
            }
            // An orphan whose supervisor is gone: there may be more.
            None => strangers = true,
        }
    }
    if !killed.is_empty() || strangers {
        let kept: Vec<_> = supervisors
            .values()
            .copied()
            .chain(disk.looking())
            .collect();
        sweep::strangers(&kept)?;
    }
    for id in killed {
        let end = End::Signal(libc::SIGKILL);
        wire::send(&inside.socket, &Reply::Exit { id, end }, &[])?;
    }
    Ok(state)
}

//! The launcher: creates each sandbox's namespaces with init in them, and waits for its end.
//!
//! One for the whole server. It is started once, with an empty environment, so that a sandbox costs
//! a fork of this small process and not one of the server, and shares all memory but its own.

mod create;
mod namespaces;

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, setrlimit, wait, waitpid};

use create::{Created, Sandbox};

use super::descriptors::take_socket;
use super::init;
use super::signals::{Signals, reset_actions};
use super::wire::{self, MAX_MESSAGE_BYTES, Reply, Request};

/// What ends the launcher, and the end of an init.
const SIGNALS: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Runs the launcher, whose standard input is the server's socket. It is the whole life of the
/// process, which must have one thread.
#[must_use]
pub fn launcher_main() -> ExitCode {
    match Launcher::new().and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Launcher {
    control: OwnedFd,
    signals: Signals,
    sandboxes: Vec<Sandbox>,
}

/// One byte, not none: where the host passes dumps to a program, which it runs as root, the kernel
/// does so in spite of a limit of zero, but not of this one.
fn dump_nothing() -> io::Result<()> {
    let one = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    match setrlimit(Resource::Core, one) {
        // The server may not have even one.
        Err(rustix::io::Errno::PERM) => Ok(()),
        set => Ok(set?),
    }
}

/// Each sandbox takes a few descriptors here. Commands get a limit of their own.
fn open_many() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Serves until the server is gone. Returns also in each init, when that has ended.
fn serve(mut launcher: Launcher) -> io::Result<()> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    while let Some(request) = launcher.next(&mut buffer)? {
        let socket = request.socket;
        match create::sandbox(&request.plan, &socket) {
            Ok(Created::Outside(mut sandbox)) => {
                sandbox.hold(socket);
                launcher.sandboxes.push(sandbox);
            }
            Ok(Created::Inside { plan, released }) => {
                // Of what the launcher has, init keeps nothing.
                drop((launcher, buffer, request.plan));
                return init::run(plan, socket, released);
            }
            // If nobody listens any more, nobody wants to know.
            Err(failure) => drop(wire::send(&socket, &Reply::Failed(failure), &[])),
        }
    }
    launcher.end();
    Ok(())
}

/// A sandbox that the server wants.
struct Wanted {
    plan: OwnedFd,
    /// What init will talk to the server through.
    socket: OwnedFd,
}

impl Launcher {
    fn new() -> io::Result<Self> {
        let control = take_socket()?;
        reset_actions();
        dump_nothing()?;
        open_many()?;
        Ok(Self {
            control,
            signals: Signals::queue(&SIGNALS)?,
            sandboxes: Vec::new(),
        })
    }

    /// The next sandbox that is wanted; nothing when the launcher is to end.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<Wanted>> {
        loop {
            let (signal_ready, control_ready) = self.signals.or_input(&self.control, None)?;
            if signal_ready {
                match self.signals.next()? {
                    libc::SIGCHLD => self.reap(),
                    _ => return Ok(None),
                }
            }
            if !control_ready {
                continue;
            }
            let Some(received) = wire::receive::<Request>(&self.control, buffer)? else {
                return Ok(None);
            };
            // One without its descriptors, as at the limit of them, is let go of: who asked sees
            // its socket closed, and every other sandbox stays.
            let mut descriptors = received.descriptors.into_iter();
            if let (Request::Open, Some(plan), Some(socket)) =
                (received.message, descriptors.next(), descriptors.next())
            {
                return Ok(Some(Wanted { plan, socket }));
            }
        }
    }

    /// Lets go of every sandbox whose init has ended, and with it everything inside.
    fn reap(&mut self) {
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            self.sandboxes.retain(|sandbox| sandbox.pid() != pid);
        }
    }

    /// Ends every sandbox.
    fn end(self) {
        self.sandboxes.iter().for_each(Sandbox::kill);
        let pids: Vec<Pid> = self.sandboxes.iter().map(Sandbox::pid).collect();
        for pid in pids {
            // It fails only if that one has ended already.
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

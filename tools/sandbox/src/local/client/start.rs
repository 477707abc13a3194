//! From an executable to an open sandbox.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pullwright_core::sandbox::SandboxError;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::Child;
use tokio::time::timeout;

use super::connection::Connection;
use crate::confine::confine;
use crate::launcher_thread;
use crate::local::plan::Plan;
use crate::local::wire::{self, MAX_MESSAGE_BYTES, Received, Reply, Request};
use crate::local::{LAUNCHER_ARGUMENT, refusal};

/// A launcher that has not opened the sandbox after this time hangs.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What everybody inside can read as the command line of process 1, instead of the host's path.
const NAME: &str = "pullwright";

pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) launcher: Child,
    pub(super) proxy: Option<TcpListener>,
}

pub(super) async fn open(executable: &Path, plan: &Plan) -> Result<Opened, SandboxError> {
    let failed = |what: &str| {
        let what = format!("cannot {what} {}", executable.display());
        move |source| SandboxError::Io { what, source }
    };
    let (socket, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| failed("make a socket for the launcher")(error.into()))?;
    let connection = Connection::new(socket).map_err(failed("use a socket for the launcher"))?;
    let launcher = launcher_thread::start(command(executable, theirs)).await;
    let launcher = launcher.map_err(failed("start the launcher"))?;
    let ready = timeout(START_TIMEOUT, ask(&connection, plan)).await;
    let ready = ready.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let received = ready.map_err(failed("open a sandbox with the launcher"))?;
    match received.message {
        Reply::Failed(failure) => Err(refusal::of(&failure)),
        _ => Ok(Opened {
            connection,
            launcher,
            proxy: received.descriptors.into_iter().next().map(Into::into),
        }),
    }
}

fn command(executable: &Path, socket: OwnedFd) -> Command {
    let mut command = Command::new(executable);
    command.arg0(NAME).arg(LAUNCHER_ARGUMENT);
    command.env_clear().current_dir("/");
    command
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    confine(&mut command, None, true);
    command
}

async fn ask(connection: &Connection, plan: &Plan) -> io::Result<Received<Reply>> {
    let file = plan.to_file()?;
    let request = wire::packet(&Request::Open)?;
    connection.send(&request, &[file.as_fd()]).await?;
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let received = connection.receive(&mut buffer).await?;
    received.ok_or_else(|| io::Error::other("it ended without a word"))
}

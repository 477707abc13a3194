//! The server's side: starts the launcher, then asks init for processes.

mod connection;
mod init;
mod launcher;
mod open;
mod pending;
mod pipes;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullwright_core::sandbox::{KillSwitch, SandboxError, SandboxProcess};
use tokio::runtime::Handle;
use tokio::time::timeout;

pub use launcher::Launcher;

use connection::Connection;
use init::Init;
use launcher::Running;
use pending::{Answer, Pending};
use pipes::Pipes;

use super::KIND;
use super::wire::{self, MAX_MESSAGE_BYTES, Request, Spawn};

/// A sandbox that does not answer for this long hangs in the kernel, or was stopped from outside.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Killed processes that are still there after this time hang in the kernel.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running sandbox. Dropping it kills everything inside.
pub struct LocalInit {
    init: Init,
    connection: Arc<Connection>,
    pending: Arc<Pending>,
    proxy: Mutex<Option<TcpListener>>,
    /// The user inside, as the host knows it, where it is not the server's own.
    user: Option<u32>,
    runtime: Handle,
    /// Dropped last: the launcher's end is that of its sandboxes.
    _launcher: Arc<Running>,
}

/// A process to start, in terms of the inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InnerCommand {
    /// The program, looked for in the `PATH` of `env`, and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The working folder, absolute.
    pub cwd: PathBuf,
}

impl LocalInit {
    fn new(
        launcher: Arc<Running>,
        connection: Connection,
        init: Init,
        proxy: Option<TcpListener>,
        user: Option<u32>,
    ) -> Self {
        let connection = Arc::new(connection);
        let pending = Arc::new(Pending::new());
        tokio::spawn(listen(Arc::clone(&connection), Arc::clone(&pending)));
        Self {
            init,
            connection,
            pending,
            proxy: Mutex::new(proxy),
            user,
            runtime: Handle::current(),
            _launcher: launcher,
        }
    }

    /// The listener inside on the plan's proxy port. It is given once.
    pub fn proxy_listener(&self) -> Option<TcpListener> {
        let mut proxy = self.proxy.lock().unwrap_or_else(PoisonError::into_inner);
        proxy.take()
    }

    /// Starts a process. Its end is told when nothing that it started is left.
    ///
    /// # Errors
    /// The program cannot be started, or the sandbox is gone.
    pub async fn spawn(&self, command: InnerCommand) -> Result<SandboxProcess, SandboxError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        let failed = |source| SandboxError::Spawn {
            program: program.clone(),
            source,
        };
        let (ours, theirs) = Pipes::new(self.user).map_err(failed)?;
        let (unsent, expected) = self.pending.expect()?;
        let id = unsent.id;
        let packet = wire::packet(&Request::Spawn(Spawn {
            id,
            argv: command.argv,
            env: command.env,
            cwd: command.cwd,
        }));
        let packet = packet.map_err(too_long).map_err(failed)?;
        let attached = theirs.each_ref().map(|end| end.as_fd());
        match timeout(SPAWN_TIMEOUT, self.connection.send(&packet, &attached)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if is_gone(&error) => return Err(self.pending.lost()),
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
        unsent.sent();
        drop(theirs);
        // From here on, whoever gives up waiting kills the process.
        let kill = self.kill_switch(id);
        match timeout(SPAWN_TIMEOUT, expected.answer).await {
            Ok(Ok(Answer::Started)) => {}
            Ok(Ok(Answer::Refused(source))) => return Err(failed(source)),
            Ok(Err(_)) => return Err(self.pending.lost()),
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
        Ok(SandboxProcess {
            stdin: Box::new(ours.stdin),
            stdout: Box::new(ours.stdout),
            stderr: Box::new(ours.stderr),
            exit: expected.exit,
            kill,
        })
    }

    /// Kills everything inside, and returns when nothing of it is left.
    ///
    /// # Errors
    /// Something inside hangs in the kernel.
    pub async fn close(&self) -> Result<(), SandboxError> {
        self.pending.close("it is closed");
        self.init.kill();
        let ended = async {
            self.init.ended().await?;
            // All who wait are told.
            self.pending.gone().await;
            Ok(())
        };
        let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
        let ended = timeout(CLOSE_TIMEOUT, ended)
            .await
            .unwrap_or_else(timed_out);
        ended.map_err(|source| SandboxError::Io {
            what: "cannot end every process of the sandbox".to_owned(),
            source,
        })
    }

    /// Why the sandbox is gone, where it ended by itself.
    pub fn lost(&self) -> Option<SandboxError> {
        self.pending.ended_by_itself()
    }

    /// Waits until the sandbox is gone, however it ended.
    pub async fn gone(&self) {
        self.pending.gone().await;
    }

    fn kill_switch(&self, id: u64) -> KillSwitch {
        let connection = Arc::clone(&self.connection);
        let pending = Arc::clone(&self.pending);
        let runtime = self.runtime.clone();
        KillSwitch::new(move || {
            if !pending.awaits(id) {
                return;
            }
            let Ok(packet) = wire::packet(&Request::Kill { id }) else {
                return;
            };
            match connection.try_send(&packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    runtime.spawn(async move { connection.send(&packet, &[]).await });
                }
                // A sandbox that is gone has killed everything.
                Ok(()) | Err(_) => {}
            }
        })
    }
}

/// Hands on what init tells, until it is gone.
async fn listen(connection: Arc<Connection>, pending: Arc<Pending>) {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    while let Ok(Some(received)) = connection.receive(&mut buffer).await {
        pending.take_note(received.message);
    }
    pending.end();
}

fn too_long(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::E2BIG) => io::Error::new(
            io::ErrorKind::ArgumentListTooLong,
            format!(
                "its arguments and environment are longer than {} KiB: pass them in a file or by \
                 standard input",
                MAX_MESSAGE_BYTES / 1024
            ),
        ),
        _ => error,
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

fn lost(reason: &str) -> SandboxError {
    SandboxError::Lost {
        kind: KIND,
        reason: reason.to_owned(),
    }
}

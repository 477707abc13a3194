//! The host's side of an open stream.

mod drive;
mod greet;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::sandbox::{KillSwitch, SandboxCommand, SandboxError, SandboxProcess};
use pullwright_protocol::RunId;
use tokio::sync::{mpsc, watch};

use super::Engine;
use super::calls::{Calls, MAX_PROCESSES};
use super::mux::{Mux, Side};
use super::wire::{Channel, Frame, Spawn};

/// How long the inside may take to answer that a process was started: it only has to fork.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long closing may take in all; the run goes on without a sandbox that hangs.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(28);

/// Three for each process. An inside that never ends its streams gets no more of them.
const MAX_STREAMS: usize = 3 * MAX_PROCESSES;

/// A sandbox that answers.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) workspace: PathBuf,
    pub(crate) tool_host: PathBuf,
}

/// An open stream. Dropping it closes it.
pub(crate) struct Session {
    kind: &'static str,
    mux: Mux,
    calls: Arc<Calls>,
    orders: mpsc::UnboundedSender<Order>,
    /// True once everything is given back.
    over: watch::Receiver<bool>,
}

/// What the task that drives the stream is told.
enum Order {
    Close,
    /// The inside broke its word.
    BreakOff(String),
}

/// Opens a stream with the inside of `engine`; `upload` is the folder to send, unless it is shared.
pub(crate) async fn open(
    mut engine: Box<dyn Engine>,
    run: &RunId,
    upload: Option<&Path>,
    startup_timeout: Duration,
) -> Result<Opened, SandboxError> {
    let kind = engine.kind();
    let (stdin, stdout) = engine.take_stream()?;
    let greeted = match greet::greet(stdin, stdout, run, upload, startup_timeout).await {
        Ok(greeted) => greeted,
        Err(failure) => return Err(failure.into_error(engine).await),
    };
    let mux = Mux::new(Side::Host);
    let calls = Arc::<Calls>::default();
    let (orders, received) = mpsc::unbounded_channel();
    let (is_over, over) = watch::channel(false);
    tokio::spawn(drive::drive(drive::Driven {
        engine,
        stdin: greeted.stdin,
        stdout: greeted.stdout,
        mux: mux.clone(),
        calls: Arc::clone(&calls),
        orders: received,
        is_over,
    }));
    Ok(Opened {
        session: Session {
            kind,
            mux,
            calls,
            orders,
            over,
        },
        workspace: greeted.workspace,
        tool_host: greeted.tool_host,
    })
}

impl Session {
    pub(crate) async fn spawn(
        &self,
        command: SandboxCommand,
    ) -> Result<SandboxProcess, SandboxError> {
        self.check_open()?;
        let program = command.argv.first().cloned().unwrap_or_default();
        let cannot = |source| SandboxError::Spawn { program, source };
        let spawn = match spawn_of(command) {
            Ok(spawn) => spawn,
            Err(source) => return Err(cannot(source)),
        };
        let has_room = self.mux.streams() < MAX_STREAMS;
        let Some(awaited) = has_room.then(|| self.calls.add()).flatten() else {
            let message = format!("{MAX_PROCESSES} processes are running; end one");
            return Err(cannot(io::Error::other(message)));
        };
        let id = awaited.id;
        let mux = self.mux.clone();
        // Made before it is started: dropping it on the way out kills what may have been started.
        let process = SandboxProcess {
            stdin: Box::new(mux.outgoing(id, Channel::Stdin)),
            stdout: Box::new(mux.incoming(id, Channel::Stdout)),
            stderr: Box::new(mux.incoming(id, Channel::Stderr)),
            exit: awaited.exit,
            kill: KillSwitch::new(move || mux.send(Frame::Kill { id })),
        };
        self.mux.send(Frame::Spawn { id, spawn });
        match tokio::time::timeout(SPAWN_TIMEOUT, awaited.started).await {
            Ok(Ok(Ok(()))) => Ok(process),
            Ok(Ok(Err(why))) => Err(cannot(io::Error::other(why))),
            Ok(Err(_)) => Err(self.lost().await),
            Err(_) => {
                let seconds = SPAWN_TIMEOUT.as_secs();
                let why = format!("it did not say within {seconds} s whether a process started");
                // It may have ended by itself meanwhile.
                let _ = self.orders.send(Order::BreakOff(why.clone()));
                Err(self.lost_for(why))
            }
        }
    }

    pub(crate) async fn close(&self) -> Result<(), SandboxError> {
        // It may have ended by itself.
        let _ = self.orders.send(Order::Close);
        let mut over = self.over.clone();
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, over.wait_for(|over| *over)).await;
        match closed {
            Ok(_) => Ok(()),
            Err(_) => Err(self.lost_for(format!(
                "it did not close within {} s",
                CLOSE_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Why it is over, if it is.
    pub(crate) fn failure(&self) -> Option<String> {
        self.mux.failure().map(|why| why.to_string())
    }

    fn lost_for(&self, reason: String) -> SandboxError {
        let kind = self.kind;
        SandboxError::Lost { kind, reason }
    }

    fn check_open(&self) -> Result<(), SandboxError> {
        self.failure().map_or(Ok(()), |why| Err(self.lost_for(why)))
    }

    /// The reason is known only when everything is given back.
    async fn lost(&self) -> SandboxError {
        let mut over = self.over.clone();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, over.wait_for(|over| *over)).await;
        self.lost_for(self.failure().unwrap_or_else(|| "it ended".to_owned()))
    }
}

/// What the inside is asked for, if it fits into a frame.
fn spawn_of(command: SandboxCommand) -> io::Result<Spawn> {
    let not_text = || io::Error::other("its working folder is not UTF-8");
    let cwd = command.cwd.map(|cwd| cwd.into_os_string().into_string());
    let spawn = Spawn {
        argv: command.argv,
        env: command.env,
        cwd: cwd.transpose().map_err(|_| not_text())?,
    };
    let frame = Frame::Spawn {
        id: 0,
        spawn: spawn.clone(),
    };
    let too_long = |error| {
        io::Error::other(format!(
            "its words and variables are too long together: {error}"
        ))
    };
    frame.encode().map_err(too_long).map(|_| spawn)
}

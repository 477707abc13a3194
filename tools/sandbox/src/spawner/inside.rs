//! The inside of a command sandbox: starts processes for the host at the other end of the stream.
//!
//! It speaks on its standard output and listens on its standard input, whatever lies between. When
//! the stream ends, everything it started ends with it: it adopts what its processes orphan, so that
//! nothing can hide from that.

mod folders;
mod processes;
mod reap;
mod stdio;
mod unpack;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::mux::{Mux, Side};
use super::wire::{Frame, Hello, Open, Ready, VERSION};
use crate::harden;
use folders::Folders;
use processes::Processes;
use stdio::{Heard, Mouth};

/// How long the host may say nothing; it asks far more often whether we are there. A connection
/// that vanished must not leave a sandbox behind for ever.
const HOST_SILENCE_TIMEOUT: Duration = Duration::from_secs(180);

/// How the inside is set up by whoever starts it.
#[derive(Clone, Debug, Default)]
pub struct SpawnerOptions {
    /// The workspace where the host shares it, else where a fresh one is made. Without it, the
    /// current folder, else the folder for temporary files.
    pub root: Option<PathBuf>,
    /// A workspace that stays when the spawner ends, for another one to go on in, as the home folder of
    /// this process does. What the host sends goes over what is there.
    pub workspace: Option<PathBuf>,
    /// Variables of its own environment that its processes get too.
    pub env_vars: Vec<String>,
}

/// Why the inside ended before the host told it to.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// Something it needs failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The host sent something that cannot be.
    #[error("the host sent {0}")]
    Host(String),
    /// The host is gone.
    #[error("the stream ended before the sandbox was open")]
    Gone,
}

/// Serves the host until it leaves, then kills everything that was started.
///
/// # Errors
/// It cannot begin; the host has been told the same.
pub async fn serve(options: SpawnerOptions) -> Result<(), SpawnerError> {
    let (mut heard, mut mouth) = stdio::start().map_err(io_error("cannot start a thread"))?;
    let (folders, open) = match begin(&options, &mut heard, &mut mouth).await {
        Ok(begun) => begun,
        Err(error) => {
            let why = error.to_string();
            mouth.say(Frame::Failed { why }).await;
            mouth.finish().await;
            return Err(error);
        }
    };
    let mux = Mux::new(Side::Inside);
    let speaking = tokio::spawn(speak(mux.clone(), mouth));
    let mut processes = Processes::new(mux.clone(), &folders, &open, options.env_vars);
    let ended = obey(&mut heard, &mux, &mut processes).await;
    drop(processes);
    speaking.abort();
    reap::kill_all().await;
    folders.remove().await;
    ended
}

/// Until there is a workspace to start processes in.
async fn begin(
    options: &SpawnerOptions,
    heard: &mut mpsc::Receiver<Heard>,
    mouth: &mut Mouth,
) -> Result<(Folders, Open), SpawnerError> {
    harden::make_non_dumpable().map_err(io_error("cannot close this process to others"))?;
    reap::adopt().map_err(io_error("cannot adopt orphans"))?;
    let program = std::env::current_exe().map_err(io_error("cannot find this program's file"))?;
    let hello = Hello {
        version: VERSION,
        tool_host: program.to_string_lossy().into_owned(),
    };
    mouth.begin(Frame::Hello(hello)).await;
    let Frame::Open(open) = next(heard).await? else {
        return Err(SpawnerError::Host("something else than `Open`".to_owned()));
    };
    let folders = Folders::make(options, open.upload)
        .map_err(io_error("cannot make the sandbox's folders"))?;
    if let Err(error) = unpack::unpack(&folders.workspace, heard).await {
        folders.remove().await;
        return Err(error);
    }
    let workspace = folders.workspace.to_string_lossy().into_owned();
    mouth.say(Frame::Ready(Ready { workspace })).await;
    Ok((folders, open))
}

/// Does as the host says until it leaves, or somebody else ends this process.
async fn obey(
    heard: &mut mpsc::Receiver<Heard>,
    mux: &Mux,
    processes: &mut Processes,
) -> Result<(), SpawnerError> {
    let cannot = |source| io_error("cannot watch for signals")(source);
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(cannot)?;
    let mut children = signal(SignalKind::child()).map_err(cannot)?;
    let mut patience = Instant::now() + HOST_SILENCE_TIMEOUT;
    loop {
        let frame = tokio::select! {
            frame = timeout_at(patience, heard.recv()) => frame,
            _ = children.recv() => {
                reap::strangers();
                continue;
            }
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        };
        let Ok(Some(heard)) = frame else {
            return Ok(());
        };
        patience = Instant::now() + HOST_SILENCE_TIMEOUT;
        let frame = heard.map_err(SpawnerError::Host)?;
        let Ok(frame) = mux.receive(frame) else {
            return Err(SpawnerError::Host(
                "what breaks a stream's rules".to_owned(),
            ));
        };
        match frame {
            None => {}
            Some(Frame::Spawn { id, spawn }) => processes.start(id, spawn),
            Some(Frame::Kill { id }) => processes.kill(id),
            Some(Frame::Ping) => mux.send(Frame::Pong),
            Some(Frame::Bye) => return Ok(()),
            Some(_) => {
                return Err(SpawnerError::Host(
                    "a frame that is not its to send".to_owned(),
                ));
            }
        }
    }
}

async fn speak(mux: Mux, mut mouth: Mouth) {
    loop {
        let frame = mux.next().await;
        if !mouth.say(frame).await {
            return;
        }
    }
}

async fn next(heard: &mut mpsc::Receiver<Heard>) -> Result<Frame, SpawnerError> {
    match timeout(HOST_SILENCE_TIMEOUT, heard.recv()).await {
        Ok(Some(frame)) => frame.map_err(SpawnerError::Host),
        Ok(None) | Err(_) => Err(SpawnerError::Gone),
    }
}

fn io_error(what: &str) -> impl FnOnce(std::io::Error) -> SpawnerError {
    let what = what.to_owned();
    move |source| SpawnerError::Io { what, source }
}

//! The processes that the host asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pullwright_core::sandbox::{ProcessExit, SandboxError, SandboxProcess};
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::folders::Folders;
use crate::launch::Launch;
use crate::process;
use crate::spawner::mux::{Incoming, Mux, Outgoing};
use crate::spawner::wire::{Channel, Exit, Frame, Open, Spawn};
use crate::sweep::{Marker, Suspects};
use crate::{RUN_VARIABLE, SPAWN_VARIABLE};

/// Where programs are, where whoever started the inside did not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest reason in a frame.
const MAX_WHY_BYTES: usize = 4096;

/// The running ones. Dropping it kills them.
pub(super) struct Processes {
    mux: Mux,
    run: String,
    workspace: PathBuf,
    env: BTreeMap<String, String>,
    kills: BTreeMap<u32, oneshot::Sender<()>>,
}

/// A process's streams to the host.
struct Streams {
    stdin: Incoming,
    stdout: Outgoing,
    stderr: Outgoing,
}

impl Processes {
    pub(super) fn new(mux: Mux, folders: &Folders, open: &Open, passed: Vec<String>) -> Self {
        Self {
            mux,
            run: open.run.clone(),
            workspace: folders.workspace.clone(),
            env: own_environment(folders, passed),
            kills: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, id: u32, spawn: Spawn) {
        let number = format!("{}-{}-{id}", self.run, std::process::id());
        let marker = Marker::new(SPAWN_VARIABLE, &number);
        let mut env = self.env.clone();
        env.extend(spawn.env);
        env.insert(RUN_VARIABLE.to_owned(), self.run.clone());
        env.insert(marker.name().to_owned(), marker.value().to_owned());
        let cwd = spawn.cwd.as_deref().unwrap_or_default();
        let launch = Launch {
            argv: spawn.argv,
            env,
            cwd: self.workspace.join(cwd),
            uid: None,
            may_gain_rights: false,
        };
        let streams = Streams {
            stdin: self.mux.incoming(id, Channel::Stdin),
            stdout: self.mux.outgoing(id, Channel::Stdout),
            stderr: self.mux.outgoing(id, Channel::Stderr),
        };
        let (kill, killed) = oneshot::channel();
        self.kills.retain(|_, kill| !kill.is_closed());
        self.kills.insert(id, kill);
        tokio::spawn(follow(
            self.mux.clone(),
            id,
            (launch, marker),
            streams,
            killed,
        ));
    }

    pub(super) fn kill(&mut self, id: u32) {
        self.kills.remove(&id);
    }
}

/// A process from its start to its end.
async fn follow(
    mux: Mux,
    id: u32,
    (launch, marker): (Launch, Marker),
    streams: Streams,
    killed: oneshot::Receiver<()>,
) {
    let process = match process::start(launch, marker, suspects()).await {
        Ok(process) => process,
        Err(error) => {
            // In this order, lest dropping the streams says something about them.
            forget(&mux, id);
            mux.send(Frame::Refused {
                id,
                why: reason(&error),
            });
            return;
        }
    };
    mux.send(Frame::Started { id });
    let SandboxProcess {
        stdin,
        stdout,
        stderr,
        mut exit,
        kill,
    } = process;
    let feeding = tokio::spawn(feed(streams.stdin, stdin));
    tokio::spawn(drain(stdout, streams.stdout));
    tokio::spawn(drain(stderr, streams.stderr));
    let ended = tokio::select! {
        ended = &mut exit => ended,
        // Told to, or everything ends.
        _ = killed => {
            kill.kill();
            exit.await
        }
    };
    end_feeding(feeding).await;
    mux.forget_incoming(id, Channel::Stdin);
    mux.send(Frame::Exit {
        id,
        exit: exit_of(ended.ok()),
    });
}

/// Nothing may be said about standard input after the end.
async fn end_feeding(feeding: JoinHandle<()>) {
    feeding.abort();
    let _ = feeding.await;
}

async fn feed(mut from: Incoming, mut to: impl tokio::io::AsyncWrite + Unpin) {
    // A process that reads no more is no fault.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

async fn drain(mut from: impl AsyncRead + Unpin, mut to: Outgoing) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = tokio::io::AsyncReadExt::read(&mut from, &mut buffer) => read,
            () = to.stopped() => return,
        };
        let Ok(count @ 1..) = read else {
            return;
        };
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

fn forget(mux: &Mux, id: u32) {
    mux.forget_incoming(id, Channel::Stdin);
    mux.forget_outgoing(id, Channel::Stdout);
    mux.forget_outgoing(id, Channel::Stderr);
}

fn exit_of(exit: Option<ProcessExit>) -> Exit {
    match exit {
        Some(ProcessExit::Code(code)) => Exit::Code(code),
        Some(ProcessExit::Signal(signal)) => Exit::Signal(signal),
        // How it ended could not be seen.
        None => Exit::Signal(libc::SIGKILL),
    }
}

/// The host names the program itself.
fn reason(error: &SandboxError) -> String {
    let mut why = match error {
        SandboxError::Spawn { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    why.truncate(why.floor_char_boundary(MAX_WHY_BYTES));
    why
}

fn suspects() -> Suspects {
    match cfg!(target_os = "linux") {
        true => Suspects::Descendants,
        false => Suspects::User(rustix::process::geteuid().as_raw()),
    }
}

fn own_environment(folders: &Folders, passed: Vec<String>) -> BTreeMap<String, String> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let mut env: BTreeMap<_, _> = passed
        .into_iter()
        .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
        .collect();
    env.extend([
        (
            "PATH".to_owned(),
            path.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        ),
        ("HOME".to_owned(), shown(&folders.home)),
        ("TMPDIR".to_owned(), shown(&folders.tmp)),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("USER".to_owned(), "pullwright".to_owned()),
        ("LOGNAME".to_owned(), "pullwright".to_owned()),
    ]);
    env
}

//! A process from its start to the end of everything it started.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pullwright_core::sandbox::{KillSwitch, ProcessExit, SandboxError, SandboxProcess};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::oneshot;

use crate::launch::Launch;
use crate::sweep::{self, Marker, Suspects};

/// Starts a process. When it ends or is killed, what it left running is killed too.
pub(crate) async fn start(
    launch: Launch,
    marker: Marker,
    suspects: Suspects,
) -> Result<SandboxProcess, SandboxError> {
    let program = launch.argv.first().cloned().unwrap_or_default();
    let mut child = launch.start().await?;
    let (Some(stdin), Some(stdout), Some(stderr), Some(group)) = (
        child.stdin.take(),
        child.stdout.take(),
        child.stderr.take(),
        group(&child),
    ) else {
        let source = io::Error::other("it ended before it began");
        return Err(SandboxError::Spawn { program, source });
    };
    let ended = Arc::new(AtomicBool::new(false));
    let (exited, exit) = oneshot::channel();
    tokio::spawn(follow(
        child,
        group,
        (marker, suspects),
        Arc::clone(&ended),
        exited,
    ));
    Ok(SandboxProcess {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        exit,
        kill: KillSwitch::new(move || kill_group(group, &ended)),
    })
}

/// Waits for the end, kills what is left, and only then tells.
async fn follow(
    mut child: Child,
    group: Pid,
    (marker, suspects): (Marker, Suspects),
    ended: Arc<AtomicBool>,
    exited: oneshot::Sender<ProcessExit>,
) {
    let status = child.wait().await;
    kill_group(group, &ended);
    ended.store(true, Ordering::Release);
    let swept = tokio::task::spawn_blocking(move || sweep::marked(&marker, suspects)).await;
    if let Ok(Err(error)) = swept {
        tracing::warn!(%error, "cannot kill all that a process left running");
    }
    match status {
        // Nobody may be waiting any more.
        Ok(status) => drop(exited.send(exit_of(status))),
        Err(error) => tracing::warn!(%error, "cannot wait for a process of the sandbox"),
    }
}

fn kill_group(group: Pid, ended: &AtomicBool) {
    if ended.load(Ordering::Acquire) {
        return;
    }
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => tracing::warn!(%error, "cannot kill a process group of the sandbox"),
    }
}

/// The process leads a session, hence a group, of its own.
fn group(child: &Child) -> Option<Pid> {
    let id = child.id()?;
    Pid::from_raw(i32::try_from(id).ok()?)
}

pub(crate) fn exit_of(status: ExitStatus) -> ProcessExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessExit::Code(code),
        (None, signal) => ProcessExit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

//! The started command: its stream, its complaints, and its end.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use super::{KIND, refused};
use crate::RUN_VARIABLE;
use crate::spawner::{Engine, Input, Output, readable};
use crate::sweep::{self, Marker, Suspects};

/// How much of the end of the command's standard error is kept for messages.
const COMPLAINT_BYTES: usize = 2048;

/// How long its last words may take to arrive once it has ended: a process it left behind may hold
/// its standard error open for ever.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// How long a killed command may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A running command, which is a group of processes. Dropping it kills them.
pub(super) struct CommandEngine {
    child: Child,
    group: Option<Pid>,
    program: String,
    run: RunId,
    complaint: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
    stream: Option<(ChildStdin, ChildStdout)>,
}

impl CommandEngine {
    pub(super) fn new(mut child: Child, program: &str, run: &RunId) -> Result<Self, SandboxError> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(Pid::from_raw);
        let stream = child.stdin.take().zip(child.stdout.take());
        let (Some(stderr), Some(stream)) = (child.stderr.take(), stream) else {
            let reason = format!("`{program}` ended before it began");
            return Err(refused(reason, "start it by hand to see why"));
        };
        let complaint = Arc::default();
        let listener = tokio::spawn(listen(stderr, Arc::clone(&complaint)));
        Ok(Self {
            child,
            group,
            program: program.to_owned(),
            run: run.clone(),
            complaint,
            listener,
            stream: Some(stream),
        })
    }

    /// Says how it ended, where it ended by itself.
    async fn wait_and_kill(&mut self, grace: Duration) -> Option<ExitStatus> {
        let by_itself = tokio::time::timeout(grace, self.child.wait()).await;
        self.kill_group();
        let waited = tokio::time::timeout(KILL_TIMEOUT, self.child.wait()).await;
        if waited.is_err() {
            tracing::warn!(run = %self.run, program = self.program, "it is still there after SIGKILL");
        }
        self.group = None;
        self.sweep().await;
        let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT, &mut self.listener).await;
        by_itself.ok().and_then(Result::ok)
    }

    /// What is known of its end: its status and its last words.
    fn describe(&self, status: Option<ExitStatus>) -> String {
        let program = &self.program;
        let ended = match status {
            Some(status) => format!("`{program}` ended with {status}"),
            None => format!("`{program}` was killed"),
        };
        let complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let said = readable(&complaint);
        match said.is_empty() {
            true => ended,
            false => format!("{ended} and complained: {said}"),
        }
    }

    /// Where the engine is a process of this machine, what it started bears the run's marker.
    async fn sweep(&self) {
        let marker = Marker::new(RUN_VARIABLE, &self.run.0);
        // A process that is just being started has no marker yet.
        let suspects = Suspects::User(rustix::process::geteuid().as_raw());
        let sweep = move || sweep::marked(&marker, suspects);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(sweep).await {
            tracing::warn!(run = %self.run, %error, "cannot kill all that a run left behind");
        }
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // Nothing is left of it in the usual case.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[async_trait]
impl Engine for CommandEngine {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn take_stream(&mut self) -> Result<(Input, Output), SandboxError> {
        let stream = self.stream.take();
        let (stdin, stdout) =
            stream.ok_or_else(|| super::lost("its stream was taken before".to_owned()))?;
        Ok((Box::new(stdin), Box::new(stdout)))
    }

    async fn end(&mut self, grace: Duration) -> String {
        let ended = self.wait_and_kill(grace).await;
        self.describe(ended)
    }

    fn remedy_for_silence(&self) -> &'static str {
        "raise `startup_timeout_sec` in `[sandbox]` if the engine needs longer, for instance to fetch \
         an image"
    }

    fn remedy_for_another(&self) -> &'static str {
        "start the command of `[sandbox]` by hand: it must end in `pullwright tool-host spawner` and \
         pass standard input and output through"
    }
}

impl Drop for CommandEngine {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Keeps standard error flowing, and its end at hand.
async fn listen(mut stderr: impl AsyncRead + Unpin, complaint: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..count]);
        let excess = kept.len().saturating_sub(COMPLAINT_BYTES);
        kept.drain(..excess);
    }
}

//! One process in a sandbox, whose streams survive their connections.
//!
//! Every piece of input says at which byte it belongs, and output is asked for from a byte on. So what
//! broke is done again, and nothing is lost or doubled.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;

use super::error::ModalError;
use super::retry::{STARTING, is_passing};
use super::router::Router;
use super::wire::client::secret_source::Source;
use super::wire::client::{SecretSource, StringMap};
use super::wire::task_command_router::task_exec_wait_response::ExitStatus;
use super::wire::task_command_router::{
    TaskExecStartRequest, TaskExecStderrConfig, TaskExecStdinStatusRequest,
    TaskExecStdinWriteRequest, TaskExecStdioFileDescriptor, TaskExecStdioReadRequest,
    TaskExecStdoutConfig, TaskExecWaitRequest,
};
use crate::spawner::{Input, Output, readable};

/// The largest piece of input. Modal takes 16 MiB; a smaller one is lost cheaper.
const MAX_PIECE_BYTES: usize = 1024 * 1024;

/// How much of each stream waits for its reader.
const BUFFER_BYTES: usize = 1024 * 1024;

/// How often in a row a stream of output may break without a byte.
const MAX_BREAKS: u32 = 10;

/// The wait after the first break; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long one question after the end of a process is under way.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const WAIT_PAUSE: Duration = Duration::from_secs(1);

/// How much of the end of its complaints is kept.
const COMPLAINT_BYTES: usize = 2048;

/// What to start.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
}

/// A process that was started. Dropping it leaves it to its sandbox.
pub(super) struct Exec {
    pub(super) id: String,
    stream: Option<(Input, Output)>,
    ended: watch::Receiver<Option<String>>,
    complaint: watch::Receiver<Vec<u8>>,
    /// Why its streams broke off, if they did.
    broke: Arc<OnceLock<String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Exec {
    pub(super) async fn start(router: Arc<Router>, start: Start) -> Result<Self, ModalError> {
        let id = uuid::Uuid::new_v4().to_string();
        let env = (!start.env.is_empty()).then(|| SecretSource {
            source: Some(Source::Env(StringMap {
                contents: start.env.into_iter().collect(),
            })),
        });
        let request = TaskExecStartRequest {
            task_id: router.task_id.clone(),
            // Ours, so that a start that is made again starts nothing twice.
            exec_id: id.clone(),
            command_args: start.argv,
            stdout_config: TaskExecStdoutConfig::Pipe.into(),
            stderr_config: TaskExecStderrConfig::Pipe.into(),
            secret_sources: env.into_iter().collect(),
            ..TaskExecStartRequest::default()
        };
        let started = router.call_by(
            STARTING,
            "TaskExecStart",
            request,
            |mut client, request| async move { client.task_exec_start(request).await },
        );
        started.await?;
        Ok(Self::follow(router, id))
    }

    /// The streams of a process. Reading begins at once: a server may answer a read only with the
    /// first byte, so waiting for the one before the other would wait for ever.
    fn follow(router: Arc<Router>, id: String) -> Self {
        let pipe = |descriptor| Pipe {
            router: Arc::clone(&router),
            exec_id: id.clone(),
            descriptor,
        };
        // Of each, one direction is used: a pair tells either end that the other is gone.
        let (from_process, to_reader) = tokio::io::duplex(BUFFER_BYTES);
        let (from_writer, to_process) = tokio::io::duplex(BUFFER_BYTES);
        let (tell_end, ended) = watch::channel(None);
        let (complain, complaint) = watch::channel(Vec::new());
        let broke = Arc::<OnceLock<String>>::default();
        let tasks = vec![
            tokio::spawn(
                pipe(TaskExecStdioFileDescriptor::Stdout).read_into(to_reader, Arc::clone(&broke)),
            ),
            tokio::spawn(pipe(TaskExecStdioFileDescriptor::Stderr).keep_end(complain)),
            tokio::spawn(
                pipe(TaskExecStdioFileDescriptor::Stdout)
                    .write_from(from_writer, Arc::clone(&broke)),
            ),
            tokio::spawn(wait(Arc::clone(&router), id.clone(), tell_end)),
        ];
        let stream: (Input, Output) = (Box::new(to_process), Box::new(from_process));
        Self {
            id,
            stream: Some(stream),
            ended,
            complaint,
            broke,
            tasks,
        }
    }

    /// Its standard input and output, once.
    pub(super) fn take_stream(&mut self) -> Option<(Input, Output)> {
        self.stream.take()
    }

    /// Waits for its end for as long as `grace`, and says how it ended.
    pub(super) async fn end(&mut self, grace: Duration) -> String {
        let ended = self.ended.wait_for(Option::is_some);
        let ended = tokio::time::timeout(grace, ended).await;
        let how = match ended {
            Ok(Ok(how)) => how.clone().unwrap_or_default(),
            _ => {
                let broke = self.broke.get().cloned();
                broke.unwrap_or_else(|| "it was left to its sandbox".to_owned())
            }
        };
        match readable(&self.complaint.borrow()) {
            said if said.is_empty() => how,
            said => format!("{how} and complained: {said}"),
        }
    }

    /// Closes its standard input, wherever it stands.
    pub(super) async fn close_input(router: &Router, exec_id: &str) -> Result<(), ModalError> {
        let status = TaskExecStdinStatusRequest {
            task_id: router.task_id.clone(),
            exec_id: exec_id.to_owned(),
        };
        let status = router.call(
            "TaskExecStdinStatus",
            status,
            |mut client, request| async move { client.task_exec_stdin_status(request).await },
        );
        let status = status.await?;
        if status.closed {
            return Ok(());
        }
        let end = TaskExecStdinWriteRequest {
            task_id: router.task_id.clone(),
            exec_id: exec_id.to_owned(),
            offset: status.num_bytes_written,
            eof: true,
            ..TaskExecStdinWriteRequest::default()
        };
        let written = router.call(
            "TaskExecStdinWrite",
            end,
            |mut client, request| async move { client.task_exec_stdin_write(request).await },
        );
        written.await.map(|_| ())
    }

    /// Waits for a process's end, for as long as `limit`.
    pub(super) async fn wait_for(router: &Router, exec_id: &str, limit: Duration) {
        let request = TaskExecWaitRequest {
            task_id: router.task_id.clone(),
            exec_id: exec_id.to_owned(),
        };
        let ended = router.once(limit, request, |mut client, request| async move {
            client.task_exec_wait(request).await
        });
        if let Err(status) = ended.await {
            tracing::info!(%status, exec_id, "a process at Modal has not ended");
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One stream of a process.
struct Pipe {
    router: Arc<Router>,
    exec_id: String,
    descriptor: TaskExecStdioFileDescriptor,
}

impl Pipe {
    /// Passes output on until the process ends it or there is no hope.
    async fn read_into(self, mut reader: DuplexStream, broke: Arc<OnceLock<String>>) {
        if let Err(error) = self.read(&mut reader).await {
            broke.get_or_init(|| error.to_string());
            tracing::warn!(%error, exec = self.exec_id, "the output of a process at Modal is lost");
        }
        let _ = reader.shutdown().await;
    }

    async fn read(&self, reader: &mut (impl AsyncWrite + Unpin)) -> Result<(), ModalError> {
        let mut offset = 0;
        let mut breaks = 0;
        loop {
            let begun = Instant::now();
            let status = match self.read_from(&mut offset, &mut breaks, reader).await {
                Ok(()) => return Ok(()),
                Err(status) => status,
            };
            // A process may be silent for hours, in which connections come and go.
            if begun.elapsed() > LONGEST_WAIT {
                breaks = 0;
            }
            if status.code() == Code::Unauthenticated && self.router.refresh().await? {
                continue;
            }
            breaks += 1;
            if !is_passing(status.code()) || breaks > MAX_BREAKS {
                return Err(ModalError::call("TaskExecStdioRead")(status));
            }
            tracing::debug!(%status, offset, "a stream of output is taken up again");
            tokio::time::sleep(pause(breaks)).await;
        }
    }

    /// Reads one connection's worth; `offset` and `breaks` follow.
    async fn read_from(
        &self,
        offset: &mut u64,
        breaks: &mut u32,
        reader: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), tonic::Status> {
        let request = TaskExecStdioReadRequest {
            task_id: self.router.task_id.clone(),
            exec_id: self.exec_id.clone(),
            offset: *offset,
            file_descriptor: self.descriptor.into(),
        };
        let stream = self
            .router
            .stream(request, |mut client, request| async move {
                client.task_exec_stdio_read(request).await
            });
        let mut stream = stream.await?;
        while let Some(piece) = stream.message().await? {
            *offset += piece.data.len() as u64;
            *breaks = 0;
            if reader.write_all(&piece.data).await.is_err() {
                // Nobody reads any more.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn keep_end(self, complaint: watch::Sender<Vec<u8>>) {
        let (mut from, mut to) = tokio::io::duplex(COMPLAINT_BYTES);
        let reading = async {
            // What is lost of it is lost for messages only.
            let _ = self.read(&mut to).await;
            let _ = to.shutdown().await;
        };
        let keeping = async {
            let mut piece = [0; 1024];
            while let Ok(count @ 1..) = from.read(&mut piece).await {
                complaint.send_modify(|kept| {
                    kept.extend_from_slice(&piece[..count]);
                    let excess = kept.len().saturating_sub(COMPLAINT_BYTES);
                    kept.drain(..excess);
                });
            }
        };
        tokio::join!(reading, keeping);
    }

    /// Passes input on until its writer ends it or the process does.
    async fn write_from(self, mut writer: DuplexStream, broke: Arc<OnceLock<String>>) {
        let mut offset = 0;
        let mut piece = vec![0; MAX_PIECE_BYTES];
        loop {
            let count = writer.read(&mut piece).await.unwrap_or_default();
            let data = bytes::Bytes::copy_from_slice(&piece[..count]);
            if let Err(error) = self.write(offset, data).await {
                // The writer sees that its end is gone.
                broke.get_or_init(|| error.to_string());
                tracing::debug!(%error, exec = self.exec_id, "a process at Modal takes no more input");
                return;
            }
            if count == 0 {
                return;
            }
            offset += count as u64;
        }
    }

    /// Writes `data` at `offset`; nothing is the end.
    async fn write(&self, offset: u64, data: bytes::Bytes) -> Result<(), ModalError> {
        let request = TaskExecStdinWriteRequest {
            task_id: self.router.task_id.clone(),
            exec_id: self.exec_id.clone(),
            offset,
            eof: data.is_empty(),
            data,
        };
        let written = self.router.call(
            "TaskExecStdinWrite",
            request,
            |mut client, request| async move { client.task_exec_stdin_write(request).await },
        );
        written.await.map(|_| ())
    }
}

/// Waits for the end of a process for as long as it takes.
async fn wait(router: Arc<Router>, exec_id: String, ended: watch::Sender<Option<String>>) {
    let request = TaskExecWaitRequest {
        task_id: router.task_id.clone(),
        exec_id,
    };
    let how = loop {
        let answer = router.once(
            WAIT_TIMEOUT,
            request.clone(),
            |mut client, request| async move { client.task_exec_wait(request).await },
        );
        match answer.await {
            Ok(answer) => break said(answer.exit_status),
            Err(status) if status.code() == Code::Unauthenticated => {
                if !router.refresh().await.unwrap_or(false) {
                    break status.message().to_owned();
                }
            }
            Err(status) if is_passing(status.code()) => tokio::time::sleep(WAIT_PAUSE).await,
            Err(status) => break status.message().to_owned(),
        }
    };
    let _ = ended.send(Some(how));
}

fn said(status: Option<ExitStatus>) -> String {
    match status {
        Some(ExitStatus::Code(code)) => format!("it ended with exit code {code}"),
        Some(ExitStatus::Signal(signal)) => format!("it was ended by signal {signal}"),
        None => "it ended".to_owned(),
    }
}

fn pause(breaks: u32) -> Duration {
    (FIRST_WAIT * 2u32.saturating_pow(breaks - 1)).min(LONGEST_WAIT)
}

//! The command router.

use pullwright_core::sandbox::ProcessExit;
use pullwright_sandbox::modal::wire::client::SecretSource;
use pullwright_sandbox::modal::wire::client::secret_source::Source;
use pullwright_sandbox::modal::wire::task_command_router::task_command_router_server::TaskCommandRouter;
use pullwright_sandbox::modal::wire::task_command_router::task_exec_stdin_write_stream_request::Payload;
use pullwright_sandbox::modal::wire::task_command_router::{
    TaskExecPollRequest, TaskExecPollResponse, TaskExecStartRequest, TaskExecStartResponse,
    TaskExecStdinStatusRequest, TaskExecStdinStatusResponse, TaskExecStdinWriteRequest,
    TaskExecStdinWriteResponse, TaskExecStdinWriteStreamRequest, TaskExecStdinWriteStreamResponse,
    TaskExecStdioFileDescriptor, TaskExecStdioReadRequest, TaskExecStdioReadResponse,
    TaskExecWaitRequest, TaskExecWaitResponse, TaskSetNetworkAccessRequest,
    TaskSetNetworkAccessResponse, TaskSnapshotFilesystemRequest, TaskSnapshotFilesystemResponse,
    task_exec_poll_response, task_exec_wait_response,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::Shared;
use crate::deadline;
use crate::machine::Machine;
use crate::processes::Process;
use crate::stdin::Stdin;

/// The most of one piece of output.
const PIECE_BYTES: usize = 256 * 1024;

/// The most arguments of a process, in bytes.
const MAX_ARGUMENT_BYTES: usize = 65_536;

pub(crate) struct CommandRouter(pub(crate) Arc<Shared>);

impl CommandRouter {
    /// The sandbox of a task whose token was shown.
    async fn enter(
        &self,
        name: &str,
        metadata: &MetadataMap,
        task_id: &str,
    ) -> Result<(Arc<Machine>, Option<Status>), Status> {
        self.0.journal.add(name, metadata);
        let bearer = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("no token was shown"))?;
        self.0.tokens.check(token, task_id)?;
        let after = self.0.faults.before(name).await?;
        Ok((self.0.machines.find_task(task_id)?, after))
    }

    async fn process(
        &self,
        name: &str,
        metadata: &MetadataMap,
        task_id: &str,
        exec_id: &str,
    ) -> Result<(Arc<Process>, Option<Status>), Status> {
        let (machine, after) = self.enter(name, metadata, task_id).await?;
        Ok((machine.processes.find(exec_id)?, after))
    }
}

fn answer<A>(answer: A, after: Option<Status>) -> Result<Response<A>, Status> {
    match after {
        Some(status) => Err(status),
        None => Ok(Response::new(answer)),
    }
}

#[tonic::async_trait]
impl TaskCommandRouter for CommandRouter {
    type TaskExecStdioReadStream = ReceiverStream<Result<TaskExecStdioReadResponse, Status>>;

    async fn task_exec_start(
        &self,
        request: Request<TaskExecStartRequest>,
    ) -> Result<Response<TaskExecStartResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (machine, after) = self
            .enter("TaskExecStart", &metadata, &request.task_id)
            .await?;
        let arguments: usize = request.command_args.iter().map(String::len).sum();
        if request.command_args.is_empty() || arguments > MAX_ARGUMENT_BYTES {
            return Err(Status::invalid_argument("no arguments, or too many"));
        }
        let env = environment(request.env, request.secret_sources);
        let command = request.command_args.clone();
        let (shared, starter) = (Arc::clone(&self.0), Arc::clone(&machine));
        let starting = async move {
            shared.faults.during("TaskExecStart").await;
            let (argv, cwd) = (request.command_args, request.workdir);
            starter.spawn(argv, env, cwd).await
        };
        machine
            .processes
            .start(&self.0.tasks, &request.exec_id, command, starting)
            .await?;
        answer(TaskExecStartResponse {}, after)
    }

    async fn task_exec_stdio_read(
        &self,
        request: Request<TaskExecStdioReadRequest>,
    ) -> Result<Response<Self::TaskExecStdioReadStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (process, after) = self
            .process(
                "TaskExecStdioRead",
                &metadata,
                &request.task_id,
                &request.exec_id,
            )
            .await?;
        let descriptor = request.file_descriptor();
        let (send, stream) = mpsc::channel(4);
        let last = send.clone();
        let mut cuts = self.0.faults.cuts();
        cuts.mark_unchanged();
        let reading = async move {
            let printed = match descriptor {
                TaskExecStdioFileDescriptor::Stdout => &process.stdout,
                TaskExecStdioFileDescriptor::Stderr => &process.stderr,
            };
            let mut offset = request.offset;
            loop {
                let piece = tokio::select! {
                    piece = printed.at(offset, PIECE_BYTES) => piece,
                    _ = cuts.changed() => Err(Status::unavailable("the stream was cut")),
                };
                let last = !matches!(&piece, Ok(data) if !data.is_empty());
                let piece = match piece {
                    Ok(data) if data.is_empty() => return,
                    Ok(data) => {
                        offset += data.len() as u64;
                        Ok(TaskExecStdioReadResponse { data: data.into() })
                    }
                    Err(status) => Err(status),
                };
                if send.send(piece).await.is_err() || last {
                    return;
                }
            }
        };
        let limit = deadline::of(&metadata);
        self.0.tasks.spawn(async move {
            let read = deadline::in_time(limit, reading).await;
            if let Err(late) = read {
                let _ = last.send(Err(late)).await;
            }
        });
        answer(ReceiverStream::new(stream), after)
    }

    async fn task_exec_stdin_write(
        &self,
        request: Request<TaskExecStdinWriteRequest>,
    ) -> Result<Response<TaskExecStdinWriteResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (process, after) = self
            .process(
                "TaskExecStdinWrite",
                &metadata,
                &request.task_id,
                &request.exec_id,
            )
            .await?;
        process
            .stdin
            .write(request.offset, &request.data, request.eof)
            .await?;
        answer(TaskExecStdinWriteResponse {}, after)
    }

    async fn task_exec_stdin_write_stream(
        &self,
        request: Request<Streaming<TaskExecStdinWriteStreamRequest>>,
    ) -> Result<Response<TaskExecStdinWriteStreamResponse>, Status> {
        let (metadata, _, mut stream) = request.into_parts();
        let first = stream.next().await.ok_or_else(misplaced)??;
        let Some(Payload::Start(start)) = first.payload else {
            return Err(misplaced());
        };
        let (process, after) = self
            .process(
                "TaskExecStdinWriteStream",
                &metadata,
                &start.task_id,
                &start.exec_id,
            )
            .await?;
        tokio::select! {
            poured = pour(stream, start.offset, &process.stdin) => poured?,
            () = process.stdin.evicted() => {
                return Err(Status::aborted("somebody else asked where the input stands"));
            }
        }
        answer(TaskExecStdinWriteStreamResponse {}, after)
    }

    async fn task_exec_stdin_status(
        &self,
        request: Request<TaskExecStdinStatusRequest>,
    ) -> Result<Response<TaskExecStdinStatusResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (process, after) = self
            .process(
                "TaskExecStdinStatus",
                &metadata,
                &request.task_id,
                &request.exec_id,
            )
            .await?;
        // Whoever asks goes on from there, and nobody else.
        process.stdin.evict();
        let standing = process.stdin.stands();
        let status = TaskExecStdinStatusResponse {
            num_bytes_written: standing.written,
            closed: standing.is_closed,
        };
        answer(status, after)
    }

    async fn task_exec_poll(
        &self,
        request: Request<TaskExecPollRequest>,
    ) -> Result<Response<TaskExecPollResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (process, after) = self
            .process(
                "TaskExecPoll",
                &metadata,
                &request.task_id,
                &request.exec_id,
            )
            .await?;
        let exit_status = process.exited().map(|exit| match exit {
            ProcessExit::Code(code) => task_exec_poll_response::ExitStatus::Code(code),
            ProcessExit::Signal(signal) => task_exec_poll_response::ExitStatus::Signal(signal),
        });
        answer(TaskExecPollResponse { exit_status }, after)
    }

    async fn task_exec_wait(
        &self,
        request: Request<TaskExecWaitRequest>,
    ) -> Result<Response<TaskExecWaitResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (process, after) = self
            .process(
                "TaskExecWait",
                &metadata,
                &request.task_id,
                &request.exec_id,
            )
            .await?;
        let exit_status = process.wait().await.map(|exit| match exit {
            ProcessExit::Code(code) => task_exec_wait_response::ExitStatus::Code(code),
            ProcessExit::Signal(signal) => task_exec_wait_response::ExitStatus::Signal(signal),
        });
        answer(TaskExecWaitResponse { exit_status }, after)
    }

    async fn task_set_network_access(
        &self,
        request: Request<TaskSetNetworkAccessRequest>,
    ) -> Result<Response<TaskSetNetworkAccessResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (machine, after) = self
            .enter("TaskSetNetworkAccess", &metadata, &request.task_id)
            .await?;
        machine.set_network(request.network_access).await?;
        answer(TaskSetNetworkAccessResponse {}, after)
    }

    async fn task_snapshot_filesystem(
        &self,
        request: Request<TaskSnapshotFilesystemRequest>,
    ) -> Result<Response<TaskSnapshotFilesystemResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (machine, after) = self
            .enter("TaskSnapshotFilesystem", &metadata, &request.task_id)
            .await?;
        let archive = machine.archive().await?;
        let image_id = self.0.images.snapshot(&machine.image_id, archive)?;
        answer(TaskSnapshotFilesystemResponse { image_id }, after)
    }
}

/// Writes what comes in `stream` until its end.
async fn pour(
    mut stream: Streaming<TaskExecStdinWriteStreamRequest>,
    mut offset: u64,
    stdin: &Stdin,
) -> Result<(), Status> {
    while let Some(piece) = stream.next().await {
        match piece?.payload {
            Some(Payload::Data(data)) => {
                stdin.write(offset, &data, false).await?;
                offset += data.len() as u64;
            }
            Some(Payload::End(_)) => return stdin.write(offset, &[], true).await,
            _ => return Err(misplaced()),
        }
    }
    // An aborted stream leaves the input open.
    Err(Status::cancelled("the stream of input broke off"))
}

fn misplaced() -> Status {
    Status::invalid_argument("a stream of input is `start`, then `data`, then `end`")
}

fn environment(
    env: impl IntoIterator<Item = (String, String)>,
    sources: Vec<SecretSource>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = env.into_iter().collect();
    for source in sources {
        if let Some(Source::Env(map)) = source.source {
            all.extend(map.contents);
        }
    }
    all
}

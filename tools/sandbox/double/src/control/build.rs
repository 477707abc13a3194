//! Builds of images.

use pullwright_core::sandbox::{ProcessExit, SandboxCommand};
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::{
    FileDescriptor, GenericResult, ImageJoinStreamingResponse, TaskLogs,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tonic::Status;

use super::Control;

impl Control {
    /// Runs the lines of a build and tells their output.
    pub(super) async fn build(
        &self,
        image_id: &str,
        lines: &[String],
        log: &mpsc::Sender<Result<ImageJoinStreamingResponse, Status>>,
    ) -> Result<GenericResult, Status> {
        let sandbox = self.0.machines.scratch().await?;
        let mut result = done(GenericStatus::Success, "");
        for (number, line) in lines.iter().enumerate() {
            let script = format!("exec 2>&1; {line}");
            let command = SandboxCommand {
                argv: ["/bin/sh", "-c", script.as_str()]
                    .map(str::to_owned)
                    .to_vec(),
                ..SandboxCommand::default()
            };
            let spawned = sandbox.spawn(command).await;
            let mut process = spawned.map_err(|error| Status::internal(error.to_string()))?;
            let mut said = String::new();
            let _ = process.stdout.read_to_string(&mut said).await;
            let logs = TaskLogs {
                data: format!("Step {}: RUN {line}\n{said}", number + 1),
                file_descriptor: FileDescriptor::Stdout.into(),
            };
            let piece = ImageJoinStreamingResponse {
                task_logs: vec![logs],
                entry_id: format!("{}", number + 1),
                ..ImageJoinStreamingResponse::default()
            };
            let _ = log.send(Ok(piece)).await;
            if process.exit.await != Ok(ProcessExit::Code(0)) {
                result = done(GenericStatus::Failure, &format!("RUN {line} failed"));
                break;
            }
        }
        let _ = sandbox.close().await;
        self.0.images.built(image_id, result.clone());
        Ok(result)
    }
}

/// A result with nothing more to say than this.
pub(super) fn done(status: GenericStatus, exception: &str) -> GenericResult {
    GenericResult {
        status: status.into(),
        exception: exception.to_owned(),
        ..GenericResult::default()
    }
}

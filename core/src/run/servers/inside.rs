//! A tool server in the run's sandbox.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tracing::Instrument;

use crate::config::{ToolConfig, ToolLink};
use crate::sandbox::{Sandbox, SandboxCommand};
use crate::tools::{Connector, ToolIo, ToolServerError};

/// How much of a tool server's standard error is written to the log, in bytes.
const MAX_STDERR_BYTES: u64 = 256 * 1024;

/// A row whose server is started in a sandbox.
pub struct SandboxRow {
    sandbox: Arc<dyn Sandbox>,
    name: String,
    row: ToolConfig,
}

impl SandboxRow {
    /// The row called `name`.
    #[must_use]
    pub fn new(sandbox: Arc<dyn Sandbox>, name: &str, row: &ToolConfig) -> Self {
        Self {
            sandbox,
            name: name.to_owned(),
            row: row.clone(),
        }
    }

    fn command(&self) -> Result<SandboxCommand, ToolServerError> {
        let mut command = match &self.row.link {
            ToolLink::Builtin(builtin) => {
                let host = self.sandbox.tool_host().to_string_lossy().into_owned();
                SandboxCommand::new([host.as_str(), "tool-host", "serve", builtin])
            }
            ToolLink::Command { command, args, cwd } => SandboxCommand {
                argv: std::iter::once(command).chain(args).cloned().collect(),
                cwd: cwd.clone(),
                ..SandboxCommand::default()
            },
            _ => {
                let reason = "only `builtin` and `command` rows can run in the sandbox";
                return Err(ToolServerError::startup(&self.name, reason));
            }
        };
        command.env = self.row.env.clone();
        Ok(command)
    }
}

#[async_trait]
impl Connector for SandboxRow {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        let process = self.sandbox.spawn(self.command()?).await;
        let process =
            process.map_err(|error| ToolServerError::startup(&self.name, error.to_string()))?;
        tokio::spawn(log_stderr(self.name.clone(), process.stderr).in_current_span());
        Ok(ToolIo::Bytes {
            read: process.stdout,
            write: process.stdin,
            guard: Box::new(process.kill),
        })
    }

    fn lost(&self) -> Option<String> {
        let lost = self.sandbox.lost()?;
        Some(lost.to_string())
    }
}

/// Keeps a server's standard error flowing, and its first part in the log.
async fn log_stderr(name: String, mut stderr: Box<dyn AsyncRead + Send + Unpin>) {
    let mut lines = BufReader::new((&mut stderr).take(MAX_STDERR_BYTES)).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        tracing::debug!(server = %name, "{}", String::from_utf8_lossy(&line));
    }
    drop(lines);
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
}

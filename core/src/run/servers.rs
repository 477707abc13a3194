//! The tool servers of a run: some in the sandbox, some on the host.

use std::sync::Arc;

use futures_util::future::join_all;
use pullwright_protocol::{FailureKind, Stage};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::forge::Forge;
use super::{HostTools, Run};
use crate::agent::Halt;
use crate::config::{Runs, ToolConfig, ToolLink};
use crate::sandbox::{Sandbox, SandboxCommand};
use crate::source::Repository;
use crate::tools::{ToolBox, ToolIo, ToolServer, ToolServerError, ToolServerOptions};

/// How much of a tool server's standard error is written to the log, in bytes.
const MAX_STDERR_BYTES: u64 = 256 * 1024;

/// The built-in servers whose tools go by the short names models know.
const SHORT_NAMED: &[&str] = &["fs", "bash"];

impl Run<'_> {
    /// Opens the tool servers on the host: those for every repository, and the forge of this one.
    pub(super) async fn open_host_tools(&mut self, repository: &Repository) -> Result<(), Halt> {
        let parts = self.parts;
        let rows = parts.config.tools.iter();
        let rows: Vec<_> = rows
            .filter(|(_, row)| row.runs == Runs::Host && row.serves(repository))
            .collect();
        let mut opening = Vec::with_capacity(rows.len());
        for (name, row) in &rows {
            opening.push(open_on_host(parts.host_tools.as_ref(), name, row));
        }
        let opened = join_all(opening).await;
        for ((_, row), server) in rows.into_iter().zip(opened) {
            let server = self.required_or_reported(row, server).await?;
            self.host_servers.extend(server);
        }
        self.forge = Forge::find(&self.host_servers, repository);
        Ok(())
    }

    /// Opens the tool servers in the sandbox and names all tools.
    pub(super) async fn open_tools(&self) -> Result<ToolBox, Halt> {
        let sandbox = self.sandbox()?;
        let rows = self.parts.config.tools.iter();
        let rows: Vec<_> = rows.filter(|(_, row)| row.runs == Runs::Sandbox).collect();
        let mut opening = Vec::with_capacity(rows.len());
        for (name, row) in &rows {
            opening.push(open_in(sandbox.as_ref(), name, row));
        }
        let opened = join_all(opening).await;
        let mut servers = self.host_servers.clone();
        for ((_, row), server) in rows.into_iter().zip(opened) {
            servers.extend(self.required_or_reported(row, server).await?);
        }
        Ok(ToolBox::new(servers)?)
    }

    /// A server that must be there ends the run when it is not; another is reported and left out.
    async fn required_or_reported(
        &self,
        row: &ToolConfig,
        server: Result<ToolServer, ToolServerError>,
    ) -> Result<Option<Arc<ToolServer>>, Halt> {
        match server {
            Ok(server) => Ok(Some(Arc::new(server))),
            Err(error) if row.required => Err(Halt::from(error)),
            Err(error) => {
                self.status(
                    Stage::Sandbox,
                    format!("going on without a tool server: {error}"),
                )
                .await;
                Ok(None)
            }
        }
    }
}

impl ToolConfig {
    /// A row that names git hosts is for repositories there only.
    fn serves(&self, repository: &Repository) -> bool {
        let here = |host: &String| repository.host.as_ref() == Some(host);
        self.hosts.is_empty() || self.hosts.iter().any(here)
    }
}

async fn open_on_host(
    host: &dyn HostTools,
    name: &str,
    row: &ToolConfig,
) -> Result<ToolServer, ToolServerError> {
    let io = host.open(name, row).await?;
    ToolServer::connect(options_of(name, row), io).await
}

async fn open_in(
    sandbox: &dyn Sandbox,
    name: &str,
    row: &ToolConfig,
) -> Result<ToolServer, ToolServerError> {
    let unusable = |reason: String| ToolServerError::Startup {
        name: name.to_owned(),
        reason,
    };
    let command = command_of(sandbox, row).map_err(unusable)?;
    let process = sandbox.spawn(command).await;
    let process = process.map_err(|error| unusable(error.to_string()))?;
    tokio::spawn(log_stderr(name.to_owned(), process.stderr));
    let io = ToolIo {
        read: process.stdout,
        write: process.stdin,
        guard: Box::new(process.kill),
    };
    ToolServer::connect(options_of(name, row), io).await
}

fn command_of(sandbox: &dyn Sandbox, row: &ToolConfig) -> Result<SandboxCommand, String> {
    let mut command = match &row.link {
        ToolLink::Builtin(builtin) => {
            let host = sandbox.tool_host().to_string_lossy().into_owned();
            SandboxCommand::new([host.as_str(), "tool-host", "serve", builtin])
        }
        ToolLink::Command { command, args, cwd } => SandboxCommand {
            argv: std::iter::once(command).chain(args).cloned().collect(),
            cwd: cwd.clone(),
            ..SandboxCommand::default()
        },
        _ => return Err("only `builtin` and `command` rows can run in the sandbox".to_owned()),
    };
    command.env = row.env.clone();

    Ok(command)
}

fn options_of(name: &str, row: &ToolConfig) -> ToolServerOptions {
    let builtin = match &row.link {
        ToolLink::Builtin(builtin) => Some(builtin.as_str()),
        _ => None,
    };
    ToolServerOptions {
        name: name.to_owned(),
        builtin: builtin.is_some(),
        short_names: builtin.is_some_and(|builtin| SHORT_NAMED.contains(&builtin)),
        startup_timeout: row.startup_timeout,
        tool_timeout: row.tool_timeout,
        enabled_tools: row.enabled_tools.clone(),
        disabled_tools: row.disabled_tools.clone(),
        required: row.required,
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

impl From<crate::tools::NameCollision> for Halt {
    fn from(error: crate::tools::NameCollision) -> Self {
        Self::Failed(FailureKind::Config, error.to_string())
    }
}

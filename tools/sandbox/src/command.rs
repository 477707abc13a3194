//! `command`: whatever a command starts, reached over its standard input and output.
//!
//! `[sandbox] command` is a template such as `docker run -i … IMAGE pullwright tool-host spawner`. It
//! is started once for each sandbox, and the [`crate::spawner`] in it starts the processes.
//!
//! Where the template names `{workspace}`, the engine shares that folder. Otherwise the workspace's
//! files are sent over the stream, and the work leaves as everywhere, as a bundle.

mod engine;
mod template;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{
    Opening, Sandbox, SandboxCommand, SandboxError, SandboxHandle, SandboxHost, SandboxNotice,
    SandboxProcess,
};
use pullwright_protocol::RunId;
use tokio::sync::mpsc;

use template::Template;

use crate::spawner::{self, Session};

/// The name of this kind.
const KIND: &str = "command";

/// Opens `command` sandboxes.
pub struct CommandHost {
    template: Arc<Template>,
    startup_timeout: Duration,
}

struct CommandSandbox {
    run: RunId,
    workspace: PathBuf,
    tool_host: PathBuf,
    session: Session,
}

impl CommandHost {
    /// A host that starts the configured command; `tool_host` is this machine's own Pullwright.
    ///
    /// # Errors
    /// There is no command, or no such program.
    pub fn new(config: &SandboxConfig, tool_host: &Path) -> Result<Self, SandboxError> {
        let Some(command) = &config.command else {
            return Err(refused(
                "no command is configured".to_owned(),
                "write `command` in `[sandbox]`",
            ));
        };
        Ok(Self {
            template: Arc::new(Template::new(command, config.memory_mb, tool_host)?),
            startup_timeout: command.startup_timeout,
        })
    }
}

#[async_trait]
impl SandboxHost for CommandHost {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn shares_checkout(&self) -> bool {
        self.template.shares_workspace()
    }

    fn warning(&self) -> Option<String> {
        Some(format!(
            "in a `command` sandbox Pullwright itself limits neither network, memory, disk nor \
             processes: what holds is what `{}` is told in `[sandbox] command`",
            self.template.program()
        ))
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let Opening { run, checkout, .. } = opening;
        let checkout = std::path::absolute(checkout).map_err(|source| SandboxError::Io {
            what: format!("cannot find the checkout {}", checkout.display()),
            source,
        })?;
        let started = self.template.start(run, &checkout).await?;
        let upload = (!self.template.shares_workspace()).then_some(checkout.as_path());
        let opened = spawner::open(Box::new(started), run, upload, self.startup_timeout).await?;
        Ok(Arc::new(CommandSandbox {
            run: run.clone(),
            workspace: opened.workspace,
            tool_host: opened.tool_host,
            session: opened.session,
        }))
    }

    async fn attach(
        &self,
        handle: &SandboxHandle,
        _notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let reason = match handle.kind == KIND {
            true => "it ended with the stream of the server that had opened it; open a fresh one"
                .to_owned(),
            false => format!("the handle is one of the `{}` sandbox", handle.kind),
        };
        Err(lost(reason))
    }
}

#[async_trait]
impl Sandbox for CommandSandbox {
    fn workspace(&self) -> &Path {
        &self.workspace
    }

    fn tool_host(&self) -> &Path {
        &self.tool_host
    }

    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError> {
        self.session.spawn(command).await
    }

    fn lost(&self) -> Option<SandboxError> {
        self.session.failure().map(lost)
    }

    fn handle(&self) -> SandboxHandle {
        SandboxHandle {
            kind: KIND.to_owned(),
            data: serde_json::json!({ "run": self.run.0 }),
        }
    }

    /// It lives as long as its stream, so nothing of it can be kept.
    async fn leave(&self) -> Result<(), SandboxError> {
        self.close().await
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.session.close().await
    }
}

fn lost(reason: String) -> SandboxError {
    SandboxError::Lost { kind: KIND, reason }
}

fn refused(reason: String, remedy: &str) -> SandboxError {
    SandboxError::Refused {
        kind: KIND,
        reason,
        remedy: remedy.to_owned(),
    }
}

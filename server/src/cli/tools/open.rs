//! Opens tool servers as a run would.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use pullwright_core::config::{Config, Runs, SandboxKind, ToolConfig};
use pullwright_core::removal::remove_tree;
use pullwright_core::run::{HostRow, SandboxRow};
use pullwright_core::sandbox::{Opening, Sandbox};
use pullwright_core::tools::{Approval, Connector, ToolServer, ToolServerError, ToolServerOptions};
use pullwright_protocol::RunId;
use pullwright_sandbox::Loan;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::cli::sandbox::{QUEUED_NOTICES, fresh_workspace, lent_workspace, own_folder, tell};
use crate::cli::{complain, config};
use crate::compose::{self, LockFile};

/// The rows of a configuration, and the sandbox that those inside share.
pub(super) struct Workbench {
    pub(super) config: Config,
    pub(super) accepted: Arc<LockFile>,
    workspace: Option<PathBuf>,
    inside: Mutex<Option<Inside>>,
}

/// An open sandbox.
struct Inside {
    sandbox: Arc<dyn Sandbox>,
    workspace: PathBuf,
    loan: Loan,
    lent: bool,
    telling: JoinHandle<()>,
    own: TempDir,
}

impl Workbench {
    pub(super) fn open(named: Option<&Path>, workspace: Option<PathBuf>) -> anyhow::Result<Self> {
        let config = config::load(named)?;
        let file = config::path(named)?;
        pullwright_sandbox::harden_server()?;
        Ok(Self {
            config,
            accepted: Arc::new(LockFile::beside(Some(&file))),
            workspace,
            inside: Mutex::new(None),
        })
    }

    /// The rows, or the one of this name.
    pub(super) fn rows(&self, name: Option<&str>) -> anyhow::Result<Vec<(&str, &ToolConfig)>> {
        let rows = self
            .config
            .tools
            .iter()
            .map(|(name, row)| (name.as_str(), row));
        let Some(name) = name else {
            return Ok(rows.collect());
        };
        let found: Vec<_> = rows.filter(|(known, _)| *known == name).collect();
        if found.is_empty() {
            let names: Vec<&str> = self.config.tools.keys().map(String::as_str).collect();
            return Err(anyhow!(
                "there is no [tools.{name}]; there are: {}",
                names.join(", ")
            ));
        }
        Ok(found)
    }

    /// The tool server of a row, with what is accepted of it.
    pub(super) async fn server(&self, name: &str) -> anyhow::Result<ToolServer> {
        let row = self.rows(Some(name))?[0].1;
        let approval = Arc::clone(&self.accepted) as Arc<dyn Approval>;
        Ok(self.connect(name, row, approval).await?)
    }

    pub(super) async fn connect(
        &self,
        name: &str,
        row: &ToolConfig,
        approval: Arc<dyn Approval>,
    ) -> Result<ToolServer, ToolServerError> {
        let connector: Arc<dyn Connector> = match row.runs {
            Runs::Host => Arc::new(HostRow::new(compose::host_tools(), name, row)),
            Runs::Sandbox => {
                let sandbox = self.sandbox().await;
                let sandbox = sandbox.map_err(|error| ToolServerError::Startup {
                    name: name.to_owned(),
                    reason: format!("{error:#}"),
                })?;
                Arc::new(SandboxRow::new(sandbox, name, row))
            }
        };
        ToolServer::connect(ToolServerOptions::of(name, row), connector, approval).await
    }

    /// Opened when the first row needs it.
    async fn sandbox(&self) -> anyhow::Result<Arc<dyn Sandbox>> {
        let mut inside = self.inside.lock().await;
        if let Some(open) = &*inside {
            return Ok(Arc::clone(&open.sandbox));
        }
        let opened = self.open_sandbox().await?;
        Ok(Arc::clone(&inside.insert(opened).sandbox))
    }

    async fn open_sandbox(&self) -> anyhow::Result<Inside> {
        let own = own_folder()?;
        // What is left somewhere else is found by who looks into the usual folder.
        let data_dir = match self.config.sandbox.kind {
            SandboxKind::Modal => config::data_dir(&self.config)?,
            _ => own.path().to_owned(),
        };
        let host = compose::sandbox_host(&self.config, &data_dir).await?;
        if let Some(warning) = host.warning() {
            complain(&format!("warning: {warning}"));
        }
        let workspace = match &self.workspace {
            Some(folder) => lent_workspace(folder)?,
            None => fresh_workspace(own.path())?,
        };
        let loan = Loan::of(&workspace)?;
        let (notices, told) = mpsc::channel(QUEUED_NOTICES);
        let telling = tokio::spawn(tell(told));
        let opening = Opening {
            warm: None,
            run: &RunId(format!("tools-{}", std::process::id())),
            checkout: &workspace,
            notices,
        };
        Ok(Inside {
            sandbox: host.open(opening).await?,
            workspace,
            loan,
            lent: self.workspace.is_some(),
            telling,
            own,
        })
    }

    /// Ends the sandbox, and gives back what was lent.
    pub(super) async fn close(&self) -> anyhow::Result<()> {
        match self.inside.lock().await.take() {
            Some(inside) => inside.close().await,
            None => Ok(()),
        }
    }
}

impl Inside {
    async fn close(self) -> anyhow::Result<()> {
        let closed = self.sandbox.close().await;
        drop(self.sandbox);
        self.telling
            .await
            .context("the notices cannot be printed")?;
        if self.lent {
            self.loan.give_back()?;
        } else {
            remove_tree(&self.workspace, &self.own.path().join("removal"))
                .with_context(|| format!("cannot remove {}", self.workspace.display()))?;
        }
        Ok(closed?)
    }
}

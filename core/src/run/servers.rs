//! The tool servers of a run: some in the sandbox, some on the host.

mod host;
mod inside;
mod notices;

use std::sync::Arc;

use futures_util::future::join_all;
use pullwright_protocol::{FailureKind, Stage};

use super::Run;
use super::forge::Forge;
use crate::agent::Halt;
use crate::config::{EditTool, Runs, ToolConfig};
use crate::source::Repository;
use crate::tools::{Connector, ToolBox, ToolServer, ToolServerError, ToolServerOptions};

pub use host::HostRow;
pub use inside::SandboxRow;

impl Run<'_> {
    /// Opens the tool servers on the host: those for every repository, and the forge of this one.
    pub(super) async fn open_host_tools(&mut self, repository: &Repository) -> Result<(), Halt> {
        let host = Arc::clone(&self.parts.host_tools);
        let token = self.bound_token(repository)?;
        let connector = |name: &str, row: &ToolConfig| -> Arc<dyn Connector> {
            Arc::new(HostRow::new(Arc::clone(&host), name, row).with_token(token.clone()))
        };
        let here = |row: &ToolConfig| row.runs == Runs::Host && row.serves(repository);
        self.host_servers = self.open_rows(here, connector).await?;
        self.forge = Forge::find(&self.host_servers, &self.parts.config.tools, repository)?;
        if let Some(token) = &token {
            self.check_forge_takes(token)?;
        }
        if self.forge.is_none() {
            self.tell_branch_only(repository).await;
        }
        Ok(())
    }

    /// Before money is spent on a change that nobody can propose.
    async fn tell_branch_only(&self, repository: &Repository) {
        let Some(host) = &repository.host else {
            return;
        };
        let message = format!(
            "no forge in [tools] names {host} in its `hosts`, so the change will be a branch \
             without a pull request"
        );
        self.status(Stage::Clone, message).await;
    }

    /// Opens the tool servers in the sandbox and names all tools that suit the model.
    pub(super) async fn open_tools(&mut self, edit_tool: EditTool) -> Result<ToolBox, Halt> {
        let sandbox = self.sandbox()?;
        let connector = |name: &str, row: &ToolConfig| -> Arc<dyn Connector> {
            Arc::new(SandboxRow::new(Arc::clone(&sandbox), name, row))
        };
        let inside = self.open_rows(|row| row.runs == Runs::Sandbox, connector);
        let inside = inside.await?;
        let servers = self.host_servers.iter().cloned().chain(inside);
        Ok(ToolBox::new(servers.collect())?.with_edit_format(edit_tool.as_str()))
    }

    /// Opens all rows side by side, so that a dead one costs no more than its own startup timeout.
    async fn open_rows(
        &mut self,
        wanted: impl Fn(&ToolConfig) -> bool,
        connector: impl Fn(&str, &ToolConfig) -> Arc<dyn Connector>,
    ) -> Result<Vec<Arc<ToolServer>>, Halt> {
        let parts = self.parts;
        let rows: Vec<_> = parts
            .config
            .tools
            .iter()
            .filter(|(_, row)| wanted(row))
            .collect();
        let mut opening = Vec::with_capacity(rows.len());
        for (name, row) in &rows {
            let options = ToolServerOptions::of(name, row);
            let approval = Arc::clone(&parts.approval);
            opening.push(ToolServer::connect(options, connector(name, row), approval));
        }
        let opened = join_all(opening).await;
        let mut servers = Vec::with_capacity(rows.len());
        for ((_, row), server) in rows.into_iter().zip(opened) {
            servers.extend(self.required_or_reported(row, server).await?);
        }
        Ok(servers)
    }

    /// A server that must be there ends the run when it is not; another is reported and left out.
    async fn required_or_reported(
        &mut self,
        row: &ToolConfig,
        server: Result<ToolServer, ToolServerError>,
    ) -> Result<Option<Arc<ToolServer>>, Halt> {
        match server {
            Ok(server) => {
                self.record_notices_of(&server).await;
                Ok(Some(Arc::new(server)))
            }
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
    /// Whether it is for a repository: a row that names git hosts is for those there only.
    #[must_use]
    pub fn serves(&self, repository: &Repository) -> bool {
        let here = |host: &String| repository.host.as_ref() == Some(host);
        self.hosts.is_empty() || self.hosts.iter().any(here)
    }
}

impl From<crate::tools::NameCollision> for Halt {
    fn from(error: crate::tools::NameCollision) -> Self {
        Self::Failed(FailureKind::Config, error.to_string())
    }
}

//! The forge of a repository, for what happens around runs: people, comments, checks.
//!
//! Runs reach their forge by connections of their own (`run/forge.rs`). This one serves whoever listens to a
//! forge and answers there.

pub(crate) mod call;
pub(crate) mod place;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::forge::{
    CHECK_RUN_ROLE, COMMENT_ROLE, FAILED_CHECKS_ROLE, FailedChecks, ForgeCheckRun, ForgeComment,
    ForgeCommit, ForgePermission, ForgeRepository, ForgeThread, ForgeUser, PERMISSION_ROLE,
    PULL_REQUEST_HEAD_ROLE, PostedCheckRun, PostedComment, PullRequestHead,
};
use rmcp::model::RequestMetaObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use call::CallFault;
use place::known_to_a_forge;

use crate::config::{Runs, ToolConfig};
use crate::run::{HostRow, RunParts};
use crate::source::SourceError;
use crate::tools::{ToolServer, ToolServerError, ToolServerOptions};

/// A repository on a code host, and the tool server that knows it.
#[derive(Clone)]
pub struct Forge {
    server: Arc<ToolServer>,
    repository: ForgeRepository,
}

/// Why a forge did not do something.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The repository is not accepted.
    #[error(transparent)]
    Repository(#[from] SourceError),
    /// No row is a forge for it.
    #[error("no row of [tools] is a forge for {0}; a forge's `hosts` name the git hosts it serves")]
    None(String),
    /// The tool server does not start.
    #[error(transparent)]
    Server(#[from] ToolServerError),
    /// The tool server lacks what was asked of it.
    #[error("{server} has no tool with the role {role}")]
    NoRole {
        /// Its row.
        server: String,
        /// The role.
        role: &'static str,
    },
    /// The same may succeed later.
    #[error("{server}: {reason}")]
    Later {
        /// Its row.
        server: String,
        /// How long to wait before it is tried again.
        wait: Duration,
        /// What it says.
        reason: String,
    },
    /// It was tried, and failed.
    #[error("{server}: {reason}")]
    Failed {
        /// Its row.
        server: String,
        /// What it says.
        reason: String,
    },
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge")
            .field("server", &self.server.name())
            .field("repository", &self.repository)
            .finish()
    }
}

impl Forge {
    /// Connects to the forge of the repository at `url`: the first row on the host that serves it.
    ///
    /// # Errors
    /// When the URL is not accepted, no row is a forge for it, or the forge does not start.
    pub async fn connect(parts: &RunParts, url: &str) -> Result<Self, ForgeError> {
        let repository = parts.source.accept(url)?;
        let none = || ForgeError::None(url.to_owned());
        let known = known_to_a_forge(&repository).ok_or_else(none)?;
        let rows = parts.config.tools.iter();
        // Without hosts in its row, nobody knows whom its token is for.
        let is_bound = |row: &ToolConfig| !row.hosts.is_empty() && row.serves(&repository);
        let mut rows = rows.filter(|(_, row)| row.runs == Runs::Host && is_bound(row));
        let mut failed = None;
        let server = loop {
            let Some((name, row)) = rows.next() else {
                return Err(failed.unwrap_or_else(none));
            };
            let row = &talking(row);
            let connector = Arc::new(HostRow::new(Arc::clone(&parts.host_tools), name, row));
            let options = ToolServerOptions::of(name, row);
            let opened = ToolServer::connect(options, connector, Arc::clone(&parts.approval)).await;
            match opened {
                Ok(server) if server.tool_with_role(PERMISSION_ROLE).is_some() => break server,
                Ok(_) => {}
                Err(error) => failed = Some(error.into()),
            }
        };
        Ok(Self {
            server: Arc::new(server),
            repository: known,
        })
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &ForgeRepository {
        &self.repository
    }

    /// Whether somebody may push to the repository.
    ///
    /// # Errors
    /// When the forge does not say.
    pub async fn can_write(&self, login: &str) -> Result<bool, ForgeError> {
        let user = ForgeUser {
            repository: self.repository.clone(),
            login: login.to_owned(),
        };
        let permission: ForgePermission = self.call(PERMISSION_ROLE, &user).await?;
        Ok(permission.can_write)
    }

    /// Writes a comment, or brings it up to date.
    ///
    /// # Errors
    /// When the forge does not take it.
    pub async fn comment(
        &self,
        fill: impl FnOnce(ForgeRepository) -> ForgeComment,
    ) -> Result<PostedComment, ForgeError> {
        self.call(COMMENT_ROLE, &fill(self.repository.clone()))
            .await
    }

    /// Where a pull request comes from.
    ///
    /// # Errors
    /// When the forge does not say.
    pub async fn pull_request_head(&self, number: u64) -> Result<PullRequestHead, ForgeError> {
        let repository = self.repository.clone();
        let thread = ForgeThread { repository, number };
        self.call(PULL_REQUEST_HEAD_ROLE, &thread).await
    }

    /// The checks of a commit that failed.
    ///
    /// # Errors
    /// When the forge does not say.
    pub async fn failed_checks(&self, sha: &str) -> Result<FailedChecks, ForgeError> {
        self.call(FAILED_CHECKS_ROLE, &self.commit(sha)).await
    }

    /// Whether the forge has checks of our own.
    #[must_use]
    pub fn has_check_runs(&self) -> bool {
        self.server.tool_with_role(CHECK_RUN_ROLE).is_some()
    }

    /// Writes a check of our own on a commit, or brings it up to date.
    ///
    /// # Errors
    /// When the forge does not take it.
    pub async fn check_run(
        &self,
        sha: &str,
        fill: impl FnOnce(ForgeCommit) -> ForgeCheckRun,
    ) -> Result<PostedCheckRun, ForgeError> {
        self.call(CHECK_RUN_ROLE, &fill(self.commit(sha))).await
    }

    fn commit(&self, sha: &str) -> ForgeCommit {
        ForgeCommit {
            repository: self.repository.clone(),
            sha: sha.to_owned(),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        role: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, ForgeError> {
        let meta = RequestMetaObject::new();
        let called = call::call(&self.server, role, arguments, meta).await;
        called.map_err(|fault| {
            let (server, reason) = (self.server.name().to_owned(), fault.to_string());
            match fault {
                CallFault::NoRole(role) => ForgeError::NoRole { server, role },
                CallFault::Later { wait, .. } => ForgeError::Later {
                    server,
                    wait,
                    reason,
                },
                CallFault::Failed(reason) => ForgeError::Failed { server, reason },
            }
        })
    }
}

/// The row, for who pushes nothing.
fn talking(row: &ToolConfig) -> ToolConfig {
    let mut row = row.clone();
    if let Some(app) = &mut row.app {
        app.talks = true;
    }
    row
}

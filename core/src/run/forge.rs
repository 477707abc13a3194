//! The forge of a run's repository, reached through its pipeline-only tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::{
    COMMIT_ROLE, CREDENTIAL_ROLE, CommitOnBranch, DetailsSet, FIND_PULL_REQUEST_ROLE, FORK_ROLE,
    ForgeBranch, ForgeCredential, ForgePreflight, ForgeRepository, Forked, FoundPullRequest,
    MadeCommit, OpenPullRequest, OpenedPullRequest, PREFLIGHT_ROLE, PULL_REQUEST_DETAILS_ROLE,
    PULL_REQUEST_ROLE, Preflight, PullRequestDetails,
};
use pullwright_protocol::tool::REPOSITORY_META_KEY;
use rmcp::model::RequestMetaObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent::{Halt, Later};
use crate::config::ToolConfig;
use crate::forge::call::{self, CallFault};
use crate::forge::place::{is_ssh, known_to_a_forge};
use crate::source::Repository;
use crate::tools::ToolServer;

/// A repository on a code host, and the tool server that knows it.
pub(super) struct Forge {
    server: Arc<ToolServer>,
    repository: ForgeRepository,
    /// What [`Forge::preflight`] found, once it was asked.
    pub(super) rights: Option<Preflight>,
}

impl Forge {
    /// The forge among `servers`, those of `rows` that are open for this repository; none where no
    /// row names its host.
    ///
    /// # Errors
    /// When a forge's row does not say which hosts its token is for, so that nobody knows whether it
    /// may be used here.
    pub(super) fn find(
        servers: &[Arc<ToolServer>],
        rows: &BTreeMap<String, ToolConfig>,
        repository: &Repository,
    ) -> Result<Option<Self>, Halt> {
        let Some(repository) = known_to_a_forge(repository) else {
            return Ok(None);
        };
        let is_bound = |server: &Arc<ToolServer>| {
            let row = rows.get(server.name());
            row.is_some_and(|row| !row.hosts.is_empty())
        };
        let forges = servers
            .iter()
            .filter(|server| server.tool_with_role(PULL_REQUEST_ROLE).is_some());
        let (bound, unbound): (Vec<_>, Vec<_>) = forges.partition(|server| is_bound(server));
        match (bound.first(), unbound.first()) {
            (Some(server), _) => Ok(Some(Self {
                server: Arc::clone(server),
                repository,
                rights: None,
            })),
            (None, Some(server)) => Err(without_hosts(server.name(), &repository.origin)),
            (None, None) => Ok(None),
        }
    }

    /// The row of its tool server.
    pub(super) fn name(&self) -> &str {
        self.server.name()
    }

    /// What every tool call carries, so that a model's calls stay in this repository.
    pub(super) fn call_meta(&self) -> RequestMetaObject {
        let mut meta = RequestMetaObject::new();
        if let Ok(repository) = serde_json::to_value(&self.repository) {
            meta.0.insert(REPOSITORY_META_KEY.to_owned(), repository);
        }
        meta
    }

    /// What the token may do of what a run means to do.
    pub(super) async fn preflight(
        &self,
        fill: impl FnOnce(ForgeRepository) -> ForgePreflight,
    ) -> Result<Preflight, Halt> {
        let asked = fill(self.repository.clone());
        let mut rights: Preflight = self.call(PREFLIGHT_ROLE, &asked).await?;
        rights.can_fork &= self.server.tool_with_role(FORK_ROLE).is_some();
        Ok(rights)
    }

    /// A short-lived credential for the repository or a fork of it; nothing where the
    /// forge has none, or git needs none.
    pub(super) async fn credential(
        &self,
        repository: &Repository,
    ) -> Result<Option<ForgeCredential>, Halt> {
        if is_ssh(repository) {
            return Ok(None);
        }
        let repository = known_to_a_forge(repository).unwrap_or_else(|| self.repository.clone());
        let credential: ForgeCredential = self.call(CREDENTIAL_ROLE, &repository).await?;
        Ok(credential.password.is_some().then_some(credential))
    }

    /// Opens a pull request, or updates the one that is open for the same branch.
    pub(super) async fn open_pull_request(
        &self,
        fill: impl FnOnce(ForgeRepository) -> OpenPullRequest,
    ) -> Result<OpenedPullRequest, Halt> {
        let request = fill(self.repository.clone());
        self.call(PULL_REQUEST_ROLE, &request).await
    }

    /// The account's fork of the repository, which is made if need be.
    pub(super) async fn fork(&self) -> Result<Forked, Halt> {
        self.call(FORK_ROLE, &self.repository).await
    }

    /// Whether the code host makes commits itself.
    pub(super) fn makes_commits(&self) -> bool {
        self.server.tool_with_role(COMMIT_ROLE).is_some()
    }

    /// Has the code host make a commit.
    pub(super) async fn commit(
        &self,
        fill: impl FnOnce(ForgeRepository) -> CommitOnBranch,
    ) -> Result<MadeCommit, Halt> {
        self.call(COMMIT_ROLE, &fill(self.repository.clone())).await
    }

    /// Puts labels and people to a pull request, as far as the forge takes them.
    pub(super) async fn set_details(
        &self,
        fill: impl FnOnce(ForgeRepository) -> PullRequestDetails,
    ) -> Result<DetailsSet, Halt> {
        let details = fill(self.repository.clone());
        self.call(PULL_REQUEST_DETAILS_ROLE, &details).await
    }

    /// Whether a pull request of the branch is open. A forge that cannot say counts as saying yes.
    pub(super) async fn has_open_pull_request(
        &self,
        branch: &str,
        fork: Option<&ForgeRepository>,
    ) -> Result<bool, Halt> {
        if self.server.tool_with_role(FIND_PULL_REQUEST_ROLE).is_none() {
            return Ok(true);
        }
        let branch = ForgeBranch {
            repository: self.repository.clone(),
            head: branch.to_owned(),
            head_repository: fork.cloned(),
        };
        let found: FoundPullRequest = self.call(FIND_PULL_REQUEST_ROLE, &branch).await?;
        Ok(found.open.is_some())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        role: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Halt> {
        let called = call::call(&self.server, role, arguments, self.call_meta()).await;
        called.map_err(|fault| {
            let reason = format!("{}: {fault}", self.server.name());
            match fault {
                CallFault::Later {
                    wait, is_outage, ..
                } => Halt::Later(Later {
                    wait,
                    reason,
                    kind: FailureKind::Forge,
                    is_outage,
                }),
                CallFault::NoRole(_) | CallFault::Failed(_) => {
                    Halt::Failed(FailureKind::Forge, reason)
                }
            }
        })
    }
}

fn without_hosts(name: &str, origin: &str) -> Halt {
    let host = origin.rsplit('/').next().unwrap_or(origin);
    let message = format!(
        "[tools.{name}] is a forge, and its row does not say of which git hosts; write \
         `hosts = [\"{host}\"]` there if its token is for {origin}"
    );
    Halt::Failed(FailureKind::Config, message)
}

//! The forge of a run's repository, reached through its pipeline-only tools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::{
    CREDENTIAL_ROLE, DetailsSet, FIND_PULL_REQUEST_ROLE, FORK_ROLE, ForgeBranch, ForgeCredential,
    ForgeLater, ForgeRepository, Forked, FoundPullRequest, OpenPullRequest, OpenedPullRequest,
    PREFLIGHT_ROLE, PULL_REQUEST_DETAILS_ROLE, PULL_REQUEST_ROLE, Preflight, PullRequestDetails,
};
use pullwright_protocol::item::joined_text;
use pullwright_protocol::tool::REPOSITORY_META_KEY;
use rmcp::model::RequestMetaObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::{Halt, Later};
use crate::config::ToolConfig;
use crate::source::Repository;
use crate::tools::ToolServer;

/// A repository on a code host, and the tool server that knows it.
pub(super) struct Forge {
    server: Arc<ToolServer>,
    repository: ForgeRepository,
    /// What [`Forge::preflight`] found.
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

    /// What the token may do.
    pub(super) async fn preflight(&mut self) -> Result<&Preflight, Halt> {
        let mut rights: Preflight = self.call(PREFLIGHT_ROLE, &self.repository).await?;
        rights.can_fork &= self.server.tool_with_role(FORK_ROLE).is_some();
        Ok(self.rights.insert(rights))
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
        role: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Halt> {
        let failed = |reason: String| {
            let name = self.server.name();
            Halt::Failed(FailureKind::Forge, format!("{name}: {reason}"))
        };
        let tool = self.server.tool_with_role(role);
        let tool = tool.ok_or_else(|| failed(format!("it has no tool with the role {role}")))?;
        let Ok(Value::Object(arguments)) = serde_json::to_value(arguments) else {
            return Err(failed("the arguments are no JSON object".to_owned()));
        };
        // Nothing is streamed and nothing is interrupted half-way here.
        let (output, _) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let answer = self
            .server
            .call(tool, arguments, self.call_meta(), &output, &cancel);
        let answer = answer.await.map_err(|error| failed(error.to_string()))?;
        let structured = answer.structured.unwrap_or_default();
        if answer.is_error {
            let said = joined_text(&answer.parts);
            return Err(match serde_json::from_value::<ForgeLater>(structured) {
                Ok(later) => Halt::Later(Later {
                    wait: Duration::from_millis(later.retry_after_ms),
                    reason: format!("{}: {said}", self.server.name()),
                    kind: FailureKind::Forge,
                    is_outage: later.is_outage,
                }),
                Err(_) => failed(said),
            });
        }
        serde_json::from_value(structured)
            .map_err(|error| failed(format!("its answer is not understood: {error}")))
    }
}

/// As a forge knows a repository: everything before its name is the owner, since some have groups in
/// groups. None for a local path, and for a URL without an owner. What git reaches by ssh, a forge knows by
/// https at the same host.
fn known_to_a_forge(repository: &Repository) -> Option<ForgeRepository> {
    let (name, owner) = repository.path.split_last()?;
    if owner.is_empty() {
        return None;
    }
    let origin = match &repository.host {
        Some(host) if is_ssh(repository) => format!("https://{host}"),
        _ => repository.origin.clone()?,
    };
    Some(ForgeRepository {
        origin,
        owner: owner.join("/"),
        name: name.clone(),
    })
}

/// The URL that git knows a repository of a forge by.
pub(super) fn git_url(repository: &ForgeRepository) -> String {
    let ForgeRepository {
        origin,
        owner,
        name,
    } = repository;
    format!("{origin}/{owner}/{name}.git")
}

fn is_ssh(repository: &Repository) -> bool {
    let origin = repository.origin.as_ref();
    origin.is_some_and(|origin| origin.starts_with("ssh://"))
}

fn without_hosts(name: &str, origin: &str) -> Halt {
    let host = origin.rsplit('/').next().unwrap_or(origin);
    let message = format!(
        "[tools.{name}] is a forge, and its row does not say of which git hosts; write \
         `hosts = [\"{host}\"]` there if its token is for {origin}"
    );
    Halt::Failed(FailureKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &[&str]) -> Option<ForgeRepository> {
        known_to_a_forge(&Repository {
            url: String::new(),
            origin: Some("https://gitlab.example".to_owned()),
            host: Some("gitlab.example".to_owned()),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
        })
    }

    #[test]
    fn groups_in_groups_are_the_owner() {
        let owner_and_name =
            |path: &[&str]| repository(path).map(|found| (found.owner, found.name));
        let found = |owner: &str, name: &str| Some((owner.to_owned(), name.to_owned()));
        assert_eq!(owner_and_name(&["owner", "name"]), found("owner", "name"));
        assert_eq!(
            owner_and_name(&["group", "sub", "project"]),
            found("group/sub", "project")
        );
        assert_eq!(owner_and_name(&["name"]), None);
        assert_eq!(owner_and_name(&[]), None);
    }

    #[test]
    fn what_git_reaches_by_ssh_is_known_by_https() {
        let by_ssh = Repository {
            url: "git@github.com:owner/name".to_owned(),
            origin: Some("ssh://github.com".to_owned()),
            host: Some("github.com".to_owned()),
            path: vec!["owner".to_owned(), "name".to_owned()],
        };
        assert!(is_ssh(&by_ssh));
        assert_eq!(
            known_to_a_forge(&by_ssh).unwrap().origin,
            "https://github.com"
        );
    }
}

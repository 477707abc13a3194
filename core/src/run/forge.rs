//! The forge of a run's repository, reached through its pipeline-only tools.

use std::sync::Arc;

use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::{
    CREDENTIAL_ROLE, FIND_PULL_REQUEST_ROLE, ForgeBranch, ForgeCredential, ForgeRepository,
    FoundPullRequest, OpenPullRequest, OpenedPullRequest, PREFLIGHT_ROLE, PULL_REQUEST_ROLE,
    Preflight,
};
use pullwright_protocol::item::joined_text;
use pullwright_protocol::tool::REPOSITORY_META_KEY;
use rmcp::model::RequestMetaObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::Halt;
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
    /// The forge among `servers`, if one is there and the repository's URL names owner and name.
    pub(super) fn find(servers: &[Arc<ToolServer>], repository: &Repository) -> Option<Self> {
        let [owner, name] = repository.path.as_slice() else {
            return None;
        };
        let has_role =
            |server: &&Arc<ToolServer>| server.tool_with_role(PULL_REQUEST_ROLE).is_some();
        Some(Self {
            server: Arc::clone(servers.iter().find(has_role)?),
            repository: ForgeRepository {
                origin: repository.origin.clone()?,
                owner: owner.clone(),
                name: name.clone(),
            },
            rights: None,
        })
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
        let rights = self.call(PREFLIGHT_ROLE, &self.repository).await?;
        Ok(self.rights.insert(rights))
    }

    /// A short-lived credential; nothing where the forge has none.
    pub(super) async fn credential(&self) -> Result<Option<ForgeCredential>, Halt> {
        let credential: ForgeCredential = self.call(CREDENTIAL_ROLE, &self.repository).await?;
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

    /// Whether a pull request of the branch is open. A forge that cannot say counts as saying yes.
    pub(super) async fn has_open_pull_request(&self, branch: &str) -> Result<bool, Halt> {
        if self.server.tool_with_role(FIND_PULL_REQUEST_ROLE).is_none() {
            return Ok(true);
        }
        let branch = ForgeBranch {
            repository: self.repository.clone(),
            head: branch.to_owned(),
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
        if answer.is_error {
            return Err(failed(joined_text(&answer.parts)));
        }
        let structured = answer.structured.unwrap_or_default();
        serde_json::from_value(structured)
            .map_err(|error| failed(format!("its answer is not understood: {error}")))
    }
}

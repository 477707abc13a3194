//! Carries out runs with the real parts.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use axum::http::StatusCode;
use pullwright_core::budget::Limits;
use pullwright_core::config::{ProviderLink, Runs, ToolConfig};
use pullwright_core::run::{Executed, OwnedRun, RunParts, clean_up, execute, limits_of, sweep};
use pullwright_protocol::{FailureKind, RunId, RunRequest};

use crate::problem::ApiProblem;
use crate::runs::{Execute, Validate};

/// Carries out runs, and refuses requests that cannot be. Its parts may be replaced: a run keeps those
/// that it began with.
pub struct Executor {
    parts: RwLock<Arc<RunParts>>,
}

impl Executor {
    /// With these parts.
    #[must_use]
    pub fn new(parts: RunParts) -> Arc<Self> {
        Arc::new(Self {
            parts: RwLock::new(Arc::new(parts)),
        })
    }

    /// The parts of now.
    #[must_use]
    pub fn parts(&self) -> Arc<RunParts> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&parts)
    }

    /// Gives the runs that begin from now on other parts.
    pub(super) fn replace(&self, parts: RunParts) {
        let mut current = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(parts);
    }

    /// Lets the runs that begin from now on tell `notice`.
    pub(super) fn keep_with_notice(&self, notice: String) {
        self.replace(RunParts {
            notice: Some(notice),
            ..RunParts::clone(&self.parts())
        });
    }
}

#[async_trait]
impl Execute for Executor {
    async fn execute(&self, owned: OwnedRun) -> Executed {
        execute(&self.parts(), owned).await
    }

    async fn clean_up(&self, run: &RunId) {
        clean_up(&self.parts(), run).await;
    }

    async fn sweep(&self) {
        sweep(&self.parts()).await;
    }

    /// Of a local path, only the command line may go on with one.
    fn may_take_over(&self, request: &RunRequest) -> bool {
        let url = &request.repo_url;
        !pullwright_source::is_local_path(url) || self.parts().source.accept(url).is_ok()
    }

    fn leftovers(&self) -> Vec<RunId> {
        let entries = std::fs::read_dir(&self.parts().runs_dir);
        let names = entries.into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let deserted = self.parts().sandboxes.deserted();
        names.map(RunId).chain(deserted).collect()
    }
}

impl Validate for Executor {
    fn validate(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        let accepted = self.parts().source.accept(&request.repo_url);
        accepted.map_err(|error| bad(error.kind, error.message))?;
        self.check_provider(request)?;
        self.check_publish(request)?;
        self.check_branches(request)
    }

    fn check_token(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        let parts = self.parts();
        let repository = parts.source.accept(&request.repo_url);
        let repository = repository.map_err(|error| bad(error.kind, error.message))?;
        let origin = repository.origin.as_deref().unwrap_or_default();
        let takes = |row: &ToolConfig| {
            row.runs == Runs::Host
                && row.serves(&repository)
                && parts.host_tools.takes_token(row, origin)
        };
        if parts.config.tools.values().any(takes) {
            return Ok(());
        }
        Err(unprocessable(
            FailureKind::Credential,
            format!(
                "no forge of this server can work with a token of yours for `{}`: only the built-in `github` can, \
                 and none has that host in its `hosts`; leave the header X-Forge-Token out",
                request.repo_url
            ),
        ))
    }

    fn suit(&self, request: &mut RunRequest) {
        let providers = &self.parts().config.providers;
        if request
            .provider
            .as_ref()
            .is_some_and(|row| !providers.contains_key(row))
        {
            (request.provider, request.model) = (None, None);
        }
        let most = self.parts().config.repositories.publish;
        request.publish = request.publish.filter(|asked| asked.is_as_careful_as(most));
    }
}

impl Executor {
    fn check_provider(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        let config = Arc::clone(&self.parts().config);
        let row = request.provider.as_ref().unwrap_or(&config.agent.provider);
        let Some(provider) = config.providers.get(row) else {
            let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
            return Err(ApiProblem::bad_request(format!(
                "there is no provider `{row}`; there are: {}",
                known.join(", ")
            )));
        };
        let is_missing =
            |variable: &&&String| std::env::var_os(variable).is_none_or(|key| key.is_empty());
        if let ProviderLink::Wire(_) = &provider.link
            && let Some(variable) = provider.link.variables().iter().find(is_missing)
        {
            return Err(unprocessable(
                FailureKind::ProviderAuth,
                format!(
                    "provider `{row}` needs a key: set the environment variable {variable} where \
                     the server starts"
                ),
            ));
        }
        let scripted = matches!(&provider.link, ProviderLink::Wire(wire) if wire.script.is_some());
        let limits: Limits = limits_of(&config).lowered_by(&request.budget);
        if limits.usd.is_some() && provider.prices.is_none() && is_wire(&provider.link) && !scripted
        {
            return Err(unprocessable(
                FailureKind::Config,
                format!(
                    "a budget in US dollars cannot be kept for provider `{row}`: its model has no \
                     prices; write `prices` in [providers.{row}], or `max_usd = \"none\"` in \
                     [budget] of plugins.toml"
                ),
            ));
        }
        Ok(())
    }

    fn check_publish(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        let most = self.parts().config.repositories.publish;
        match request.publish {
            Some(asked) if !asked.is_as_careful_as(most) => Err(ApiProblem::bad_request(format!(
                "field `publish` is `{}`, but this server publishes by `{}` at most: a request may only be \
                 more careful (`patch` is the most careful, then `fork`, then `branch`)",
                asked.as_str(),
                most.as_str()
            ))),
            _ => Ok(()),
        }
    }

    fn check_branches(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        let named = [&request.branch, &request.base_branch];
        for branch in named.into_iter().flatten() {
            if !pullwright_source::is_branch_name(branch) {
                let message = format!("`{branch}` is not a name that git allows for a branch");
                return Err(ApiProblem::bad_request(message));
            }
        }
        if request.branch.is_some() && request.branch == request.base_branch {
            let message = "`branch` and `baseBranch` must differ: a run never pushes to its base";
            return Err(ApiProblem::bad_request(message));
        }
        Ok(())
    }
}

fn is_wire(link: &ProviderLink) -> bool {
    matches!(link, ProviderLink::Wire(_))
}

fn bad(kind: FailureKind, message: String) -> ApiProblem {
    ApiProblem::new(StatusCode::BAD_REQUEST, kind, message)
}

fn unprocessable(kind: FailureKind, message: String) -> ApiProblem {
    ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, message)
}

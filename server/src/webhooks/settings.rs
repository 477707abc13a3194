//! What deliveries may start, as configured.

use pullwright_core::config::{GithubWebhookConfig, ServerConfig};

use super::signature::Secrets;
use crate::access::{BadRepositories, Grant, RepositoryGlob};
use crate::runs::Caller;

/// To whom the runs belong that deliveries start. No API key can have this name, since no key's has a slash.
pub const OWNER: &str = "webhooks/github";

/// What deliveries may start.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub(super) secrets: Secrets,
    pub(super) label: String,
    pub(super) mention: String,
    pub(super) repair_attempts: u32,
    pub(super) provider: Option<String>,
    pub(super) grant: Grant,
    pub(super) max_runs: Option<usize>,
    /// The longest prompt, in characters.
    pub(super) max_prompt_chars: usize,
}

/// Why deliveries cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No secret is there.
    #[error(
        "[webhooks.github] `secret_env` names {0}, and none of them is set; put the webhook's secret there, or \
         remove the section"
    )]
    NoSecret(String),
    /// A repository is not understood.
    #[error("[webhooks.github] `repositories`: {0}")]
    Repositories(#[from] BadRepositories),
}

impl WebhookSettings {
    /// As the configuration says. `variable` gives the value of an environment variable.
    ///
    /// # Errors
    /// When no secret is set, or a repository is not understood.
    pub fn read(
        config: &GithubWebhookConfig,
        server: &ServerConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut secrets = Vec::new();
        for name in &config.secret_env {
            match variable(name).filter(|value| !value.trim().is_empty()) {
                // A line break at the end comes from a file, and is in no secret.
                Some(secret) => secrets.push(secret.trim_end_matches(['\r', '\n']).to_owned()),
                None => tracing::warn!(name, "this variable of `secret_env` is not set"),
            }
        }
        if secrets.is_empty() {
            return Err(SettingsError::NoSecret(config.secret_env.join(", ")));
        }
        let repositories = config.repositories.iter();
        let repositories: Result<Vec<RepositoryGlob>, _> =
            repositories.map(|glob| glob.parse()).collect();
        Ok(Self {
            secrets: Secrets::new(secrets),
            label: config.label.clone(),
            mention: config.mention.clone(),
            repair_attempts: config.repair_attempts,
            provider: config.provider.clone(),
            grant: Grant {
                repositories: repositories?,
                max_usd: config.max_usd,
                ..Grant::default()
            },
            max_runs: config.max_runs,
            max_prompt_chars: server.max_prompt_chars,
        })
    }

    /// As the registry of runs knows them.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            name: Some(OWNER.to_owned()),
            max_concurrent: self.max_runs,
        }
    }
}

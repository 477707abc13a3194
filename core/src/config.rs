//! `plugins.toml`: which models and tools there are, and how far a run may go.
//!
//! The file is read once, at the edge, and passed on as plain values. Every key is checked: an
//! unknown one is an error that names it, its line and the nearest known one, so that a limit with
//! a slip of the pen is never silently no limit. Secrets are named by environment variable, never
//! written here, and nothing here reads the environment.

mod access;
mod app;
mod change;
mod cloning;
mod credential;
mod document;
mod error;
mod forge_hosts;
mod header;
mod link;
mod policy;
mod provider;
mod publishing;
mod sandbox;
mod schema;
mod secret;
mod secrets;
mod section;
mod server;
mod tool;
mod value;
mod waits;
mod webhooks;

use std::collections::BTreeMap;
use std::path::Path;

pub use access::AccessConfig;
pub use app::{AppConfig, AppKey};
pub use change::{Notable, PolicyConfig};
pub use cloning::CloneMode;
pub use credential::CredentialConfig;
pub use error::ConfigError;
pub use policy::{AgentConfig, BudgetConfig, ChecksConfig, RepositoriesConfig, SetupConfig};
pub use provider::{Compaction, EditTool, KeyCommand, ProviderConfig, ProviderLink, WireLink};
pub use publishing::{CommitConfig, MovedBase, PullRequestConfig, Verified};
pub use sandbox::{
    CommandConfig, LocalConfig, ModalConfig, NetworkConfig, SandboxConfig, SandboxKind,
};
pub use schema::config_schema;
pub use server::ServerConfig;
pub use tool::{Runs, ToolConfig, ToolLink};
pub use waits::ForgeWaits;
pub use webhooks::{GithubWebhookConfig, WebhooksConfig};

use document::Document;
use section::Section;

/// The whole of `plugins.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which model works.
    pub agent: AgentConfig,
    /// How far a run may go.
    pub budget: BudgetConfig,
    /// Which repositories are accepted.
    pub repositories: RepositoriesConfig,
    /// Whose commits are pushed.
    pub commit: CommitConfig,
    /// What a pull request gets beside its description.
    pub pull_request: PullRequestConfig,
    /// What git authenticates with at hosts without a forge, by row name.
    pub credentials: BTreeMap<String, CredentialConfig>,
    /// What installs a repository's dependencies.
    pub setup: SetupConfig,
    /// What proves a change.
    pub checks: ChecksConfig,
    /// What a change may hold.
    pub policy: PolicyConfig,
    /// The models, by row name.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The tool servers, by row name.
    pub tools: BTreeMap<String, ToolConfig>,
    /// Where tool servers run.
    pub sandbox: SandboxConfig,
    /// The limits of `serve`.
    pub server: ServerConfig,
    /// Whose webhooks start runs.
    pub webhooks: WebhooksConfig,
}

/// A longer file is not a configuration; the cap keeps a wrong path from filling the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

const KEYS: &[&str] = &[
    "agent",
    "budget",
    "repositories",
    "commit",
    "pull_request",
    "credentials",
    "setup",
    "checks",
    "policy",
    "providers",
    "tools",
    "sandbox",
    "server",
    "webhooks",
];

impl Config {
    /// Reads the file at `path`. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file cannot be read, or [`Config::parse`] refuses it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let path = std::path::absolute(path).map_err(|error| ConfigError::read(path, &error))?;
        let text = read_capped(&path).map_err(|error| ConfigError::read(&path, &error))?;
        Self::parse(&text, &path)
    }

    /// Parses `text`, which came from the file `origin`: error messages name that file, and
    /// relative paths are relative to its folder.
    ///
    /// # Errors
    /// The text is not TOML, or a key is unknown, missing, of the wrong type or out of range.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        let document = Document::new(text, origin);
        let table = document.table()?;
        let root = Section::root(&document, table.get_ref(), KEYS)?;
        let config = Self {
            agent: AgentConfig::read(&root)?,
            budget: BudgetConfig::read(&root)?,
            repositories: RepositoriesConfig::read(&root)?,
            commit: CommitConfig::read(&root)?,
            pull_request: PullRequestConfig::read(&root)?,
            credentials: root.rows("credentials", CredentialConfig::read)?,
            setup: SetupConfig::read(&root)?,
            checks: ChecksConfig::read(&root)?,
            policy: PolicyConfig::read(&root)?,
            providers: root.rows("providers", ProviderConfig::read)?,
            tools: root.rows("tools", ToolConfig::read)?,
            sandbox: SandboxConfig::read(&root)?,
            server: ServerConfig::read(&root)?,
            webhooks: WebhooksConfig::read(&root)?,
        };
        config.commit.check(&root, config.repositories.moved_base)?;
        config.agent.check_rows(&root, &config.providers)?;
        forge_hosts::check(&root, &config.tools)?;
        credential::check(&root, &config.credentials, &config.tools)?;
        config
            .webhooks
            .check_rows(&root, |row| config.providers.contains_key(row))?;
        config
            .sandbox
            .check_lifetime(&root, config.budget.max_minutes)?;
        Ok(config)
    }
}

fn read_capped(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let message = format!("it is longer than {MAX_FILE_BYTES} bytes");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

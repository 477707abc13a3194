//! What a run may do, whatever models and tools it has.

use std::collections::BTreeMap;

use pullwright_protocol::Publish;

use super::ConfigError;
use super::cloning::CloneMode;
use super::provider::ProviderConfig;
use super::publishing::MovedBase;
use super::section::{Section, nearest};

/// Which model works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The provider row that runs use.
    pub provider: String,
    /// The rows to go on with when that one fails, in order.
    pub fallback: Vec<String>,
}

/// How far a run may go. A request can only lower these.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Model cost, in US dollars; absent when the file says `"none"`, since a model without prices
    /// cannot keep it.
    pub max_usd: Option<f64>,
    /// Model tokens, input and output together.
    pub max_tokens: Option<u64>,
    /// Model calls.
    pub max_turns: u32,
    /// Wall time of the whole run, in minutes.
    pub max_minutes: f64,
    /// How long a run may wait in all for limits of its forge to be over, in minutes, which does not count
    /// against `max_minutes`.
    pub max_parked_minutes: f64,
}

/// Which repositories are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoriesConfig {
    /// The hosts, with a port where it is not the scheme's own; those reached by ssh as `ssh://host`.
    pub hosts: Vec<String>,
    /// How much of a repository is fetched.
    pub clone: CloneMode,
    /// The size of a clone beyond which it is given up, in megabytes.
    pub max_clone_mb: u64,
    /// The room of all mirrors together, in megabytes.
    pub mirror_cache_mb: u64,
    /// What a fetch leaves free of the disk, in megabytes.
    pub min_free_mb: u64,
    /// How changes reach a repository; a request may only be more careful.
    pub publish: Publish,
    /// What becomes of a change whose base branch has moved meanwhile.
    pub moved_base: MovedBase,
}

/// What installs a repository's dependencies, before the model starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupConfig {
    /// The commands; found in the repository if absent.
    pub run: Option<Vec<String>>,
    /// The hosts that these commands may reach.
    pub allow: Vec<String>,
    /// The time for all of them, in seconds.
    pub timeout_sec: u64,
}

/// What proves a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChecksConfig {
    /// The commands; found in the repository if absent.
    pub run: Option<Vec<String>>,
    /// The time for each, in seconds.
    pub timeout_sec: u64,
    /// How often a check that the change broke, or a change that may not be pushed, goes back to the model.
    pub max_repairs: u32,
}

const DEFAULT_MAX_USD: f64 = 10.0;
/// GitHub's hourly budget begins anew each hour: a few of them are survived.
const DEFAULT_MAX_PARKED_MINUTES: f64 = 360.0;
const DAY_SEC: u64 = 24 * 3600;
const MAX_LIMIT: u64 = i64::MAX as u64;

pub(super) const AGENT_KEYS: &[&str] = &["provider", "fallback"];
pub(super) const BUDGET_KEYS: &[&str] = &[
    "max_usd",
    "max_tokens",
    "max_turns",
    "max_minutes",
    "max_parked_minutes",
];
pub(super) const REPOSITORIES_KEYS: &[&str] = &[
    "hosts",
    "clone",
    "max_clone_mb",
    "mirror_cache_mb",
    "min_free_mb",
    "publish",
    "moved_base",
];
pub(super) const SETUP_KEYS: &[&str] = &["run", "allow", "timeout_sec"];
pub(super) const CHECKS_KEYS: &[&str] = &["run", "timeout_sec", "max_repairs"];

impl AgentConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("agent", AGENT_KEYS)?;
        let provider = section.non_empty("provider")?.ok_or_else(|| {
            section.error(
                "provider",
                "it is missing; name the row of `[providers]` that runs use",
            )
        })?;
        Ok(Self {
            provider,
            fallback: section.strings("fallback")?.unwrap_or_default(),
        })
    }

    /// Every row named here must exist.
    pub(super) fn check_rows(
        &self,
        root: &Section<'_>,
        providers: &BTreeMap<String, ProviderConfig>,
    ) -> Result<(), ConfigError> {
        let section = root.section("agent", AGENT_KEYS)?;
        let named = std::iter::once(("provider", &self.provider))
            .chain(self.fallback.iter().map(|row| ("fallback", row)));
        for (key, row) in named {
            if !providers.contains_key(row) {
                return Err(section.error(key, no_such_row(row, providers)));
            }
        }
        Ok(())
    }
}

impl BudgetConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("budget", BUDGET_KEYS)?;
        Ok(Self {
            max_usd: read_usd(&section)?,
            max_tokens: section.integer("max_tokens", 1..=MAX_LIMIT)?,
            max_turns: section
                .small_integer("max_turns", 1..=100_000)?
                .unwrap_or(200),
            max_minutes: section
                .number("max_minutes", 0.01..=10_080.0)?
                .unwrap_or(60.0),
            max_parked_minutes: section
                .number("max_parked_minutes", 0.0..=10_080.0)?
                .unwrap_or(DEFAULT_MAX_PARKED_MINUTES),
        })
    }
}

impl RepositoriesConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("repositories", REPOSITORIES_KEYS)?;
        Ok(Self {
            hosts: section
                .git_hosts("hosts")?
                .unwrap_or_else(|| vec!["github.com".to_owned()]),
            clone: section.clone_mode("clone")?,
            max_clone_mb: section
                .integer("max_clone_mb", 1..=1 << 20)?
                .unwrap_or(2048),
            mirror_cache_mb: section
                .integer("mirror_cache_mb", 0..=1 << 30)?
                .unwrap_or(20 * 1024),
            min_free_mb: section.integer("min_free_mb", 0..=1 << 30)?.unwrap_or(1024),
            publish: section.publish("publish")?,
            moved_base: section.moved_base("moved_base")?,
        })
    }
}

impl SetupConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("setup", SETUP_KEYS)?;
        Ok(Self {
            run: section.commands("run")?,
            allow: section.hosts("allow")?.unwrap_or_default(),
            timeout_sec: section.integer("timeout_sec", 1..=DAY_SEC)?.unwrap_or(900),
        })
    }
}

impl ChecksConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("checks", CHECKS_KEYS)?;
        Ok(Self {
            run: section.commands("run")?,
            timeout_sec: section.integer("timeout_sec", 1..=DAY_SEC)?.unwrap_or(900),
            max_repairs: section.small_integer("max_repairs", 0..=100)?.unwrap_or(2),
        })
    }
}

impl Section<'_> {
    /// Shell commands, none of them empty.
    fn commands(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let commands = self.strings(key)?;
        let mut all = commands.iter().flatten();
        if all.any(|command| command.trim().is_empty()) {
            return Err(self.error(key, "one of the commands is empty"));
        }
        Ok(commands)
    }

    /// Hosts, each with a port or without, in lower case.
    pub(super) fn hosts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.hosts_that(key, is_host, "`github.com` or `host:8443`")
    }

    /// Hosts that git connects to, by https, or by ssh where it is written so.
    fn git_hosts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let is_git_host = |text: &str| is_host(text.strip_prefix("ssh://").unwrap_or(text));
        let like = "`github.com`, `host:8443` or `ssh://github.com`";
        self.hosts_that(key, is_git_host, like)
    }

    fn hosts_that(
        &self,
        key: &str,
        is_good: impl Fn(&str) -> bool,
        like: &str,
    ) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(hosts) = self.strings(key)? else {
            return Ok(None);
        };
        if let Some(bad) = hosts.iter().find(|host| !is_good(host)) {
            let message = format!("`{bad}` is not a host; write it like {like}");
            return Err(self.error(key, message));
        }
        Ok(Some(
            hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        ))
    }
}

fn read_usd(section: &Section<'_>) -> Result<Option<f64>, ConfigError> {
    let written = section.read("max_usd", "a number, or \"none\"", |value| {
        let none = value.as_str() == Some("none");
        (none || value.is_integer() || value.is_float()).then_some(none)
    })?;
    match written {
        None => Ok(Some(DEFAULT_MAX_USD)),
        Some(true) => Ok(None),
        Some(false) => section.number("max_usd", 0.0..=1_000_000.0),
    }
}

fn no_such_row(row: &str, providers: &BTreeMap<String, ProviderConfig>) -> String {
    if providers.is_empty() {
        return format!("there is no row `[providers.{row}]`, nor any other; add it");
    }
    let advice = nearest(row, providers.keys().map(String::as_str));
    format!("there is no row `[providers.{row}]`; {advice}")
}

/// Whether the text is a host as a URL has it, with a port or without, and nothing else.
fn is_host(text: &str) -> bool {
    url::Url::parse(&format!("https://{text}/")).is_ok_and(|url| {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default();
        text.trim_end_matches(":443")
            .eq_ignore_ascii_case(&format!("{host}{port}"))
    })
}

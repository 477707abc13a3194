//! The limits of `serve`.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::ConfigError;
use super::access::{self, AccessConfig};
use super::section::Section;

/// The limits of `serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Runs that work at the same time; more of them wait.
    pub max_concurrent_runs: usize,
    /// How long a run stays its server's without a sign of life from it, in seconds. Then another server, or
    /// the same one once it is started again, goes on with it.
    pub lease_sec: u64,
    /// Runs that wait for a place; more of them are refused.
    pub max_queued_runs: usize,
    /// How long a run waits for a place before it is given up.
    pub max_queue: Duration,
    /// Runs of one API key that work at the same time; all that the server has room for if absent.
    pub max_runs_per_key: Option<usize>,
    /// Runs on one repository that work at the same time; all that the server has room for if absent.
    pub max_runs_per_repository: Option<usize>,
    /// How long runs may go on once the server is told to stop, before they are interrupted.
    pub shutdown_grace: Duration,
    /// The length of a prompt, in characters.
    pub max_prompt_chars: usize,
    /// The size of a request's body, in bytes.
    pub max_body_bytes: usize,
    /// Where people reach the server, without a slash at its end, for links to runs.
    pub public_url: Option<String>,
    /// The folder for runs, mirrors and checkouts; the user's data folder if absent.
    pub data_dir: Option<PathBuf>,
    /// Who may call, how often, and from which pages.
    pub access: AccessConfig,
    /// The variable with the keys that callers' tokens are sealed with in the store; without it they are in
    /// memory only.
    pub token_key_env: Option<String>,
    /// How many days the events and the patch of an ended run are kept; absent when the file says `"none"`,
    /// which is for ever.
    pub keep_runs_days: Option<u32>,
    /// The folder that they are written to before they are deleted, if any.
    pub archive_dir: Option<PathBuf>,
}

const OWN_KEYS: [&str; 14] = [
    "max_concurrent_runs",
    "lease_sec",
    "max_queued_runs",
    "max_queue_minutes",
    "max_runs_per_key",
    "max_runs_per_repository",
    "shutdown_grace_sec",
    "max_prompt_chars",
    "max_body_bytes",
    "public_url",
    "data_dir",
    "keep_runs_days",
    "archive_dir",
    "token_key_env",
];

pub(super) fn keys() -> Vec<&'static str> {
    OWN_KEYS.into_iter().chain(access::KEYS).collect()
}

/// A longer time is a mistake in the unit.
const MAX_KEEP_RUNS_DAYS: u32 = 36_500;
const DEFAULT_KEEP_RUNS_DAYS: u32 = 30;

impl ServerConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("server", &keys())?;
        let limit = |key, least, most| -> Result<Option<usize>, ConfigError> {
            let limit = section.small_integer(key, least..=most)?;
            Ok(limit.map(|limit| limit as usize))
        };
        let size = |key, most, default| Ok(limit(key, 1, most)?.unwrap_or(default));
        let minutes = section.small_integer("max_queue_minutes", 1..=24 * 60)?;
        let minutes = u64::from(minutes.unwrap_or(60));
        let grace = section.small_integer("shutdown_grace_sec", 0..=60 * 60)?;
        let grace = u64::from(grace.unwrap_or(30));
        Ok(Self {
            max_concurrent_runs: size("max_concurrent_runs", 10_000, 8)?,
            lease_sec: section
                .small_integer("lease_sec", 1..=3600)?
                .unwrap_or(15)
                .into(),
            max_queued_runs: limit("max_queued_runs", 0, 1_000)?.unwrap_or(100),
            max_queue: Duration::from_secs(60 * minutes),
            max_runs_per_key: limit("max_runs_per_key", 1, 10_000)?,
            max_runs_per_repository: limit("max_runs_per_repository", 1, 10_000)?,
            shutdown_grace: Duration::from_secs(grace),
            max_prompt_chars: size("max_prompt_chars", 1 << 24, 100_000)?,
            max_body_bytes: size("max_body_bytes", 1 << 28, 1 << 20)?,
            public_url: read_public_url(&section)?,
            data_dir: section.path("data_dir")?,
            access: AccessConfig::read(&section)?,
            keep_runs_days: read_keep_runs_days(&section)?,
            archive_dir: section.path("archive_dir")?,
            token_key_env: section.variable("token_key_env")?,
        })
    }
}

fn read_keep_runs_days(section: &Section<'_>) -> Result<Option<u32>, ConfigError> {
    let expected = "a whole number of days, or \"none\"";
    let written = section.read("keep_runs_days", expected, |value| {
        let none = value.as_str() == Some("none");
        (none || value.is_integer()).then_some(none)
    })?;
    match written {
        None => Ok(Some(DEFAULT_KEEP_RUNS_DAYS)),
        Some(true) => Ok(None),
        Some(false) => section.small_integer("keep_runs_days", 1..=MAX_KEEP_RUNS_DAYS),
    }
}

/// It is shown to everybody who sees a pull request.
fn read_public_url(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    const KEY: &str = "public_url";
    let Some(text) = section.non_empty(KEY)? else {
        return Ok(None);
    };
    let is_address = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match Url::parse(&text).ok().filter(is_address) {
        Some(url) => Ok(Some(url.as_str().trim_end_matches('/').to_owned())),
        None => {
            let message = "it is not an address such as https://pullwright.example.com, without a user, a \
                           query or a fragment";
            Err(section.error(KEY, message))
        }
    }
}

//! The limits of `serve`.

use std::path::PathBuf;

use super::ConfigError;
use super::access::{self, AccessConfig};
use super::section::Section;

/// The limits of `serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Runs that work at the same time; more of them are refused.
    pub max_concurrent_runs: usize,
    /// How long a run stays its server's without a sign of life from it, in seconds. Then another server, or
    /// the same one once it is started again, goes on with it.
    pub lease_sec: u64,
    /// The length of a prompt, in characters.
    pub max_prompt_chars: usize,
    /// The size of a request's body, in bytes.
    pub max_body_bytes: usize,
    /// The folder for runs, mirrors and checkouts; the user's data folder if absent.
    pub data_dir: Option<PathBuf>,
    /// Who may call, how often, and from which pages.
    pub access: AccessConfig,
}

const OWN_KEYS: [&str; 5] = [
    "max_concurrent_runs",
    "lease_sec",
    "max_prompt_chars",
    "max_body_bytes",
    "data_dir",
];

pub(super) fn keys() -> Vec<&'static str> {
    OWN_KEYS.into_iter().chain(access::KEYS).collect()
}

impl ServerConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("server", &keys())?;
        let size = |key, most, default| -> Result<usize, ConfigError> {
            let size = section.small_integer(key, 1..=most)?;
            Ok(size.map_or(default, |size| size as usize))
        };
        Ok(Self {
            max_concurrent_runs: size("max_concurrent_runs", 10_000, 8)?,
            lease_sec: section
                .small_integer("lease_sec", 1..=3600)?
                .unwrap_or(15)
                .into(),
            max_prompt_chars: size("max_prompt_chars", 1 << 24, 100_000)?,
            max_body_bytes: size("max_body_bytes", 1 << 28, 1 << 20)?,
            data_dir: section.path("data_dir")?,
            access: AccessConfig::read(&section)?,
        })
    }
}

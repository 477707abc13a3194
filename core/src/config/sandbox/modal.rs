//! A sandbox at Modal.

use std::path::PathBuf;
use std::time::Duration;

use super::{SandboxKind, refuse_keys};
use crate::config::ConfigError;
use crate::config::section::Section;

/// What a `modal` sandbox is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModalConfig {
    /// The image's tag in a registry.
    pub image: String,
    /// Lines of a dockerfile that go on from it.
    pub dockerfile: Vec<String>,
    /// The app that the sandboxes belong to; it is made if it is not there.
    pub app: String,
    /// The static executable of Pullwright that goes into the image; this one where it runs there.
    pub tool_host: Option<PathBuf>,
    /// Where they may run; anywhere if empty.
    pub regions: Vec<String>,
    /// How many cores each has at least.
    pub cpus: Option<f64>,
    /// How long what setup has made is kept for later runs; not at all if zero.
    pub warm_start: Duration,
    /// Whether processes in it reach the whole network, whatever is allowed elsewhere.
    pub open_network: bool,
    /// How long each may live.
    pub timeout: Duration,
    /// How long nothing may run in it before Modal ends it: what a server that died costs.
    pub idle_timeout: Duration,
    /// The time it has until it answers.
    pub startup_timeout: Duration,
}

pub(in crate::config) const KEYS: &[&str] = &[
    "image",
    "dockerfile",
    "app",
    "tool_host",
    "regions",
    "cpus",
    "warm_start_days",
    "open_network",
    "timeout_min",
    "idle_timeout_min",
    "startup_timeout_sec",
];

/// Has git and a shell once the dockerfile's lines are in.
const IMAGE: &str = "debian:12";

const DOCKERFILE: &str = "RUN apt-get update && apt-get install -y --no-install-recommends git \
     ca-certificates && rm -rf /var/lib/apt/lists/*";

const APP: &str = "pullwright";

/// Longer than most runs; a sandbox that nobody ends costs until then.
const TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// What a server that died for good costs at most, since the processes inside end without it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Modal lets no sandbox live longer.
const MAX_TIMEOUT_MIN: u64 = 24 * 60;

/// What a sandbox lives longer than its run: it is made before, and the work is taken out afterwards.
const SPARE_MINUTES: f64 = 10.0;

const DAY_SECONDS: u64 = 24 * 3600;

/// Long enough for a project that is worked on, and no longer: dependencies get mended.
const WARM_START_DAYS: u64 = 7;

/// Modal keeps no snapshot longer by itself.
const MAX_WARM_START_DAYS: u64 = 30;

/// A worker may have to fetch the image first.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(300);

impl Default for ModalConfig {
    /// What a file that says nothing means.
    fn default() -> Self {
        Self {
            image: IMAGE.to_owned(),
            dockerfile: vec![DOCKERFILE.to_owned()],
            app: APP.to_owned(),
            tool_host: None,
            regions: Vec::new(),
            cpus: None,
            warm_start: Duration::from_secs(WARM_START_DAYS * DAY_SECONDS),
            open_network: false,
            timeout: TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            startup_timeout: STARTUP_TIMEOUT,
        }
    }
}

impl ModalConfig {
    pub(super) fn read(
        sandbox: &Section<'_>,
        kind: SandboxKind,
    ) -> Result<Option<Self>, ConfigError> {
        if kind != SandboxKind::Modal {
            return refuse_keys(sandbox, &["modal"], SandboxKind::Modal, kind).map(|()| None);
        }
        let section = sandbox.section("modal", KEYS)?;
        let own = Self::default();
        let image = section.non_empty("image")?;
        let usual = match image {
            None => own.dockerfile,
            Some(_) => Vec::new(),
        };
        let days = section.integer("warm_start_days", 0..=MAX_WARM_START_DAYS)?;
        let days = days.unwrap_or(WARM_START_DAYS);
        let minutes = |key: &str| -> Result<Option<Duration>, ConfigError> {
            let minutes = section.integer(key, 1..=MAX_TIMEOUT_MIN)?;
            Ok(minutes.map(|minutes| Duration::from_secs(minutes * 60)))
        };
        Ok(Some(Self {
            image: image.unwrap_or(own.image),
            dockerfile: section.strings("dockerfile")?.unwrap_or(usual),
            app: section.non_empty("app")?.unwrap_or(own.app),
            tool_host: section.path("tool_host")?,
            regions: section.strings("regions")?.unwrap_or_default(),
            cpus: section.number("cpus", 0.125..=64.0)?,
            warm_start: Duration::from_secs(days * DAY_SECONDS),
            open_network: section.boolean("open_network")?.unwrap_or(own.open_network),
            timeout: minutes("timeout_min")?.unwrap_or(own.timeout),
            idle_timeout: minutes("idle_timeout_min")?.unwrap_or(own.idle_timeout),
            startup_timeout: section
                .duration_sec("startup_timeout_sec")?
                .unwrap_or(own.startup_timeout),
        }))
    }

    pub(super) fn check_lifetime(
        &self,
        sandbox: &Section<'_>,
        max_minutes: f64,
    ) -> Result<(), ConfigError> {
        if self.timeout.as_secs_f64() >= (max_minutes + SPARE_MINUTES) * 60.0 {
            return Ok(());
        }
        let section = sandbox.section("modal", KEYS)?;
        let message = format!(
            "a run may take {max_minutes} minutes, and its sandbox must be there for {SPARE_MINUTES} more; \
             raise this (Modal allows {MAX_TIMEOUT_MIN}), or lower `max_minutes` in [budget]"
        );
        Err(section.error("timeout_min", message))
    }
}

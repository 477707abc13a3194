//! A changed configuration is taken in while the server runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pullwright_core::config::Config;
use pullwright_core::run::RunParts;
use pullwright_core::sandbox::SandboxHost;
use tokio::time::{MissedTickBehavior, interval};

use super::{Executor, Setting, load_config, parts_on, sandbox_config, sandbox_host};

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Watches the file of a configuration. Runs that begin after a change use the new one; those under way
/// keep theirs. One that cannot be used is refused with its error, and the one before stays.
pub struct Reload {
    path: PathBuf,
    setting: Setting,
    executor: Arc<Executor>,
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Reload {
    /// For the configuration in `path`, which `executor` has read already.
    #[must_use]
    pub fn new(path: PathBuf, setting: Setting, executor: Arc<Executor>) -> Self {
        Self {
            path,
            setting,
            executor,
        }
    }

    /// Watches until it is dropped.
    pub async fn watch(self) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = self.stamp().await;
        let mut seen = taken;
        loop {
            ticks.tick().await;
            let now = self.stamp().await;
            // A file that still changes is being written: half of it is not what anybody meant.
            let settled = std::mem::replace(&mut seen, now) == now;
            if settled && now != taken {
                taken = now;
                self.take_in().await;
            }
        }
    }

    /// Nothing while the file is not there: an editor may be about to put a new one in its place.
    async fn stamp(&self) -> Option<Stamp> {
        let metadata = tokio::fs::metadata(&self.path).await.ok()?;
        Some(Stamp {
            modified: metadata.modified().ok()?,
            bytes: metadata.len(),
        })
    }

    async fn take_in(&self) {
        let path = self.path.display();
        match self.read().await {
            Ok(parts) => {
                tracing::info!(%path, "the configuration changed and is in use");
                self.executor.replace(parts);
            }
            Err(error) => {
                let refused =
                    format!("the changed configuration is not used, the one before is: {error:#}");
                tracing::error!(%path, "{refused}");
                self.executor.keep_with_notice(refused);
            }
        }
    }

    async fn read(&self) -> anyhow::Result<RunParts> {
        let current = self.executor.parts();
        let mut config = load_config(&self.path)?;
        if config.server != current.config.server {
            tracing::warn!("changes in [server] wait for a restart");
            config.server = current.config.server.clone();
        }
        if config.webhooks != current.config.webhooks {
            tracing::warn!("changes in [webhooks] wait for a restart");
            config.webhooks = current.config.webhooks.clone();
        }
        let sandboxes = self.sandboxes(&config, &current).await?;
        parts_on(Arc::clone(&current.store), config, sandboxes, &self.setting)
    }

    /// The same host for the same `[sandbox]`: opening another tries the machine anew.
    async fn sandboxes(
        &self,
        config: &Config,
        current: &RunParts,
    ) -> anyhow::Result<Arc<dyn SandboxHost>> {
        if sandbox_config(config) == sandbox_config(&current.config) {
            return Ok(Arc::clone(&current.sandboxes));
        }
        sandbox_host(config, &self.setting.data_dir).await
    }
}

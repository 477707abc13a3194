//! The providers of `plugins.toml`.

mod remote;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::config::{Config, ProviderConfig, ProviderLink, WireLink};
use pullwright_core::provider::Provider;
use pullwright_core::run::Providers;
use pullwright_link::{InProcessPeer, RpcPeer};
use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use pullwright_providers::{DISCOVERY_TIMEOUT, HttpClient, ProviderSettings, discover, rpc_module};
use remote::RemotePeer;
use settings::settings;
use tokio::time::Instant;

pub(super) use settings::complete;

/// The wire format whose providers count attempts, so that each run needs its own.
const PER_RUN_WIRE: &str = "scripted";

/// How many rows are kept open: the names of models come from requests.
const MAX_OPEN: usize = 64;

/// How long a service that did not say what its model can take is left alone at first, before it is asked
/// again by whoever opens the row next. The wait doubles each time, up to the longest.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Opens rows once and shares them, so that a model host keeps one connection.
pub(super) struct ProviderRows {
    config: Arc<Config>,
    ask_again_after: Duration,
    open: Mutex<HashMap<Key, Cell>>,
}

/// A row, and the model that a request names.
type Key = (String, Option<String>);

/// Whoever opens a row holds its lock, so that only those wait who want the same.
type Cell = Arc<tokio::sync::Mutex<Option<Opened>>>;

struct Opened {
    provider: Provider,
    /// When the service is to be asked again for limits that it did not say, and how long that was put off.
    ask_again: Option<(Instant, Duration)>,
}

impl ProviderRows {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            ask_again_after: ASK_AGAIN_AFTER,
            open: Mutex::default(),
        }
    }

    fn cell(&self, key: Key) -> Cell {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN && !open.contains_key(&key) {
            // What is being opened, or waited for, stays.
            open.retain(|_, cell| Arc::strong_count(cell) > 1);
        }
        Arc::clone(open.entry(key).or_default())
    }

    async fn shared(
        &self,
        row: &str,
        config: &ProviderConfig,
        model: Option<&str>,
    ) -> Result<Provider, ProviderError> {
        let cell = self.cell((row.to_owned(), model.map(str::to_owned)));
        let mut known = cell.lock().await;
        if let Some(known) = &*known
            && known.ask_again.is_none_or(|(due, _)| Instant::now() < due)
        {
            return Ok(known.provider.clone());
        }
        let old = known.as_ref();
        let wait = match old.and_then(|old| old.ask_again) {
            Some((_, before)) => (before * 2).min(LONGEST_WAIT),
            None => self.ask_again_after,
        };
        let (provider, is_complete) = match (connect(row, config, model).await, old) {
            (Ok(opened), _) => opened,
            (Err(error), None) => return Err(error),
            (Err(error), Some(old)) => {
                tracing::warn!(
                    row,
                    error = error.message,
                    "a provider cannot be opened anew"
                );
                (old.provider.clone(), false)
            }
        };
        let ask_again = (!is_complete).then(|| (Instant::now() + wait, wait));
        // As long as nothing new is known, the old one knows more of its conversations.
        let provider = match known.take() {
            Some(old) if !is_complete => old.provider,
            _ => provider,
        };
        *known = Some(Opened {
            provider: provider.clone(),
            ask_again,
        });
        Ok(provider)
    }
}

#[async_trait]
impl Providers for ProviderRows {
    async fn open(&self, row: &str, model: Option<&str>) -> Result<Provider, ProviderError> {
        let Some(config) = self.config.providers.get(row) else {
            return Err(refused(
                FailureKind::BadRequest,
                format!("there is no provider `{row}` in plugins.toml"),
            ));
        };
        match &config.link {
            ProviderLink::Wire(wire) if wire.wire_api != PER_RUN_WIRE => {
                self.shared(row, config, model).await
            }
            _ => Ok(connect(row, config, model).await?.0),
        }
    }
}

/// Opens a row. Answers with it whether all is known of it that its service may say.
async fn connect(
    row: &str,
    config: &ProviderConfig,
    model: Option<&str>,
) -> Result<(Provider, bool), ProviderError> {
    let (peer, is_complete): (Arc<dyn RpcPeer>, bool) = match &config.link {
        ProviderLink::Wire(wire) => built_in(row, config, wire, model).await?,
        ProviderLink::Command { .. } | ProviderLink::Url { .. } | ProviderLink::Library { .. } => {
            (Arc::new(RemotePeer::new(row, config.link.clone())), true)
        }
    };
    Ok((Provider::connect(peer).await?, is_complete))
}

async fn built_in(
    row: &str,
    config: &ProviderConfig,
    wire: &WireLink,
    model: Option<&str>,
) -> Result<(Arc<dyn RpcPeer>, bool), ProviderError> {
    let settings = settings(row, config, wire, model);
    let mut settings = settings.map_err(|message| refused(FailureKind::Config, message))?;
    let is_asked = settings.context_tokens.is_none() && settings.wire_api != PER_RUN_WIRE;
    let is_complete = !is_asked || ask_for_limits(&mut settings).await;
    let opened = pullwright_providers::open(settings, |name| std::env::var(name).ok());
    let provider = opened.map_err(|error| refused(FailureKind::Config, error.to_string()))?;
    let peer = Arc::new(InProcessPeer::new(row, rpc_module(provider)));
    Ok((peer, is_complete))
}

/// A service that does not say is no reason not to use it. Answers whether it has said what it will ever say.
async fn ask_for_limits(settings: &mut ProviderSettings) -> bool {
    let Ok(http) = HttpClient::for_row(settings) else {
        return true;
    };
    let environment = |name: &str| std::env::var(name).ok();
    match discover(settings, environment, &http, DISCOVERY_TIMEOUT).await {
        Ok(limits) => {
            limits.complete(settings);
            true
        }
        Err(error) => {
            tracing::info!(%error, "the model's limits are not known");
            error.is_final()
        }
    }
}

fn refused(kind: FailureKind, message: String) -> ProviderError {
    ProviderError {
        kind,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests;

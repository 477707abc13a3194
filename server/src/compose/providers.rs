//! The providers of `plugins.toml`.

mod remote;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;

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
use tokio::sync::Mutex;

pub(super) use settings::complete;

/// The wire format whose providers count attempts, so that each run needs its own.
const PER_RUN_WIRE: &str = "scripted";

/// How many rows are kept open: the names of models come from requests.
const MAX_OPEN: usize = 64;

/// Opens rows once and shares them, so that a model host keeps one connection.
pub(super) struct ProviderRows {
    config: Arc<Config>,
    open: Mutex<HashMap<(String, Option<String>), Provider>>,
}

impl ProviderRows {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            open: Mutex::default(),
        }
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
        let shared = match &config.link {
            ProviderLink::Wire(wire) => wire.wire_api != PER_RUN_WIRE,
            _ => false,
        };
        if !shared {
            return connect(row, config, model).await;
        }
        let key = (row.to_owned(), model.map(str::to_owned));
        let mut open = self.open.lock().await;
        if let Some(provider) = open.get(&key) {
            return Ok(provider.clone());
        }
        let provider = connect(row, config, model).await?;
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(key, provider.clone());
        Ok(provider)
    }
}

async fn connect(
    row: &str,
    config: &ProviderConfig,
    model: Option<&str>,
) -> Result<Provider, ProviderError> {
    let peer: Arc<dyn RpcPeer> = match &config.link {
        ProviderLink::Wire(wire) => built_in(row, config, wire, model).await?,
        ProviderLink::Command { .. } | ProviderLink::Url { .. } | ProviderLink::Library { .. } => {
            Arc::new(RemotePeer::new(row, config.link.clone()))
        }
    };
    Provider::connect(peer).await
}

async fn built_in(
    row: &str,
    config: &ProviderConfig,
    wire: &WireLink,
    model: Option<&str>,
) -> Result<Arc<dyn RpcPeer>, ProviderError> {
    let settings = settings(row, config, wire, model);
    let mut settings = settings.map_err(|message| refused(FailureKind::Config, message))?;
    if settings.context_tokens.is_none() && settings.wire_api != PER_RUN_WIRE {
        ask_for_limits(&mut settings).await;
    }
    let opened = pullwright_providers::open(settings, |name| std::env::var(name).ok());
    let provider = opened.map_err(|error| refused(FailureKind::Config, error.to_string()))?;
    Ok(Arc::new(InProcessPeer::new(row, rpc_module(provider))))
}

/// A service that does not say is no reason not to use it.
async fn ask_for_limits(settings: &mut ProviderSettings) {
    let Ok(http) = HttpClient::for_row(settings) else {
        return;
    };
    let environment = |name: &str| std::env::var(name).ok();
    match discover(settings, environment, &http, DISCOVERY_TIMEOUT).await {
        Ok(limits) => limits.complete(settings),
        Err(error) => tracing::info!(%error, "the model's limits are not known"),
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

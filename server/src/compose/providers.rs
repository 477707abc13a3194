//! The providers of `plugins.toml`.

mod remote;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_core::config::{Config, ProviderConfig, ProviderLink};
use pullwright_core::provider::Provider;
use pullwright_core::run::Providers;
use pullwright_link::{InProcessPeer, RpcPeer};
use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use pullwright_providers::{ProviderSettings, rpc_module};
use tokio::sync::Mutex;
use url::Url;

use remote::RemotePeer;

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
            ProviderLink::Wire { wire_api, .. } => wire_api != PER_RUN_WIRE,
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
        ProviderLink::Wire { .. } => built_in(row, config, model)?,
        ProviderLink::Command { .. } | ProviderLink::Url { .. } | ProviderLink::Library { .. } => {
            Arc::new(RemotePeer::new(row, config.link.clone()))
        }
    };
    Provider::connect(peer).await
}

fn built_in(
    row: &str,
    config: &ProviderConfig,
    model: Option<&str>,
) -> Result<Arc<dyn RpcPeer>, ProviderError> {
    let ProviderLink::Wire {
        wire_api,
        base_url,
        env_key,
        script,
    } = &config.link
    else {
        return Err(refused(
            FailureKind::Internal,
            format!("{row} is not built in"),
        ));
    };
    let base_url = base_url.as_deref().map(Url::parse).transpose();
    let base_url = base_url.map_err(|error| {
        let message = format!("providers.{row}: `base_url` is not a URL: {error}");
        refused(FailureKind::Config, message)
    })?;
    let settings = ProviderSettings {
        name: row.to_owned(),
        wire_api: wire_api.clone(),
        base_url,
        env_key: env_key.clone(),
        model: model.map(str::to_owned).or_else(|| config.model.clone()),
        context_tokens: config.context_tokens,
        max_output_tokens: config.max_output_tokens,
        prices: config.prices,
        script: script.clone(),
        ..ProviderSettings::default()
    };
    let opened = pullwright_providers::open(settings, |name| std::env::var(name).ok());
    let provider = opened.map_err(|error| refused(FailureKind::Config, error.to_string()))?;
    Ok(Arc::new(InProcessPeer::new(row, rpc_module(provider))))
}

fn refused(kind: FailureKind, message: String) -> ProviderError {
    ProviderError {
        kind,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

//! Ollama's own chat API.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, Prices, ProviderError, ProviderInfo, StreamRequest};
use url::Url;

use crate::access::{Access, KeyPlace};
use crate::exchange::{Exchange, Refused};
use crate::http::{HttpClient, StreamLimits, join_path};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::written::Written;

mod error;
mod event;
mod message;
mod reply;
mod request;

pub use reply::OllamaReply;

/// The name of this wire format.
pub(crate) const OLLAMA_WIRE: &str = "ollama";
/// Where a server on this machine is.
pub(crate) const DEFAULT_BASE_URL: &str = "http://127.0.0.1:11434";
/// The context of a row that does not say one. The server's own default is so small that it would
/// cut the conversation without a word.
pub(crate) const DEFAULT_CONTEXT_TOKENS: u64 = 32_768;
/// The reply limit of a row that does not say one: a small model may never stop by itself.
pub(crate) const DEFAULT_MAX_OUTPUT_TOKENS: u64 = 8_192;
/// What to ask for, and where.
#[derive(Clone, Debug)]
pub struct OllamaConfig {
    /// The row's name.
    pub name: String,
    /// Where the server is. The key, if any, goes to this origin and nowhere else.
    pub base_url: Url,
    /// The key, for a server that wants one.
    pub access: Access,
    /// The model's name.
    pub model: String,
    /// The most tokens one reply may have.
    pub max_output_tokens: u64,
    /// The size of the context that the server makes room for.
    pub context_tokens: u64,
    /// What the model costs, where known.
    pub prices: Option<Prices>,
    /// How hard it thinks: `true`, `false` or a level such as `high`; the model's default if absent.
    pub effort: Option<String>,
    /// The bounds of the waits.
    pub limits: StreamLimits,
}

/// A provider that speaks Ollama's chat API.
#[derive(Debug)]
pub struct Ollama {
    exchange: Exchange,
    config: OllamaConfig,
    url: Url,
    info: ProviderInfo,
    written: Written,
}

impl Ollama {
    /// A provider for `config` that uses the connections of `http`.
    #[must_use]
    pub fn new(config: OllamaConfig, http: HttpClient) -> Self {
        let provenance = Provenance {
            provider: config.name.clone(),
            wire: OLLAMA_WIRE.to_owned(),
            model: config.model.clone(),
            account: None,
        };
        let access = config.access.clone();
        Self {
            exchange: Exchange::new(&config.name, http, access, KeyPlace::Bearer, config.limits),
            url: join_path(&config.base_url, "api/chat"),
            info: ProviderInfo {
                provenance,
                context_tokens: Some(config.context_tokens),
                max_output_tokens: Some(config.max_output_tokens),
                prices: config.prices,
                compacts: false,
            },
            config,
            written: Written::default(),
        }
    }

    /// The JSON of a request, byte for byte as it is sent.
    ///
    /// # Errors
    /// When there is nothing to ask.
    pub fn request_body(&self, request: &StreamRequest) -> Result<Vec<u8>, ProviderError> {
        request::body(&self.config, &self.info.provenance, request, &self.written)
    }
}

#[async_trait]
impl Provider for Ollama {
    fn info(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let body = self.request_body(&request)?;
        let question = self.exchange.post(&self.url, body);
        let (name, key_source) = (&self.config.name, self.config.access.source());
        let refused = |answer: &Refused| error::of_response(answer, name, &key_source);
        let response = self.exchange.ask(question, refused).await?;
        deltas.send(Delta::Started { request_id: None }).await?;
        let provenance = self.info.provenance.clone();
        let context = self.config.context_tokens;
        let mut reply = OllamaReply::new(provenance, context, &request.items);
        self.exchange.read(response, &mut reply, deltas).await
    }
}

//! The Anthropic Messages API.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, Prices, ProviderError, ProviderInfo, StreamRequest};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response};
use url::Url;

use crate::exchange::{Exchange, header};
use crate::http::{HttpClient, StreamTimeouts, join_path};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::secret::Secret;

mod answer;
mod block;
mod error;
mod event;
mod message;
mod reply;
mod request;
mod written;

use answer::Answer;
pub use reply::Reply;
pub use request::{RequestWriter, Thinking, request_body};

/// The name of this wire format.
pub(crate) const ANTHROPIC_WIRE: &str = "anthropic_messages";
/// Where the API is.
pub(crate) const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
const API_VERSION: &str = "2026-10-21";
const REQUEST_ID_HEADER: &str = "request-id";
/// The reply limit of a row that does not say one.
pub(crate) const DEFAULT_MAX_OUTPUT_TOKENS: u64 = 32_000;

/// What to ask for, and where.
#[derive(Clone, Debug)]
pub struct AnthropicConfig {
    /// The row's name.
    pub name: String,
    /// Where the API is. The key goes to this origin and nowhere else.
    pub base_url: Url,
    /// The key.
    pub key: Secret,
    /// Where the key came from, for error messages.
    pub key_source: String,
    /// The model's name.
    pub model: String,
    /// The most tokens one reply may have.
    pub max_output_tokens: u64,
    /// The size of the model's context, where known.
    pub context_tokens: Option<u64>,
    /// What the model costs, where known.
    pub prices: Option<Prices>,
    /// Whether and how the model thinks.
    pub thinking: Thinking,
    /// How hard it thinks; the model's default if absent.
    pub effort: Option<String>,
    /// The bounds of the waits.
    pub timeouts: StreamTimeouts,
}

/// A provider that speaks the Anthropic Messages API.
#[derive(Debug)]
pub struct AnthropicMessages {
    http: HttpClient,
    config: AnthropicConfig,
    exchange: Exchange,
    url: Url,
    authorization: HeaderValue,
    info: ProviderInfo,
    requests: RequestWriter,
}

impl AnthropicMessages {
    /// A provider for `config` that uses the connections of `http`.
    ///
    /// # Errors
    /// A sentence when the key cannot be a key.
    pub fn new(config: AnthropicConfig, http: HttpClient) -> Result<Self, String> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", config.key.reveal()))
            .map_err(|_| format!("{} holds characters no key has", config.key_source))?;
        authorization.set_sensitive(true);
        let provenance = Provenance {
            provider: config.name.clone(),
            wire: ANTHROPIC_WIRE.to_owned(),
            model: config.model.clone(),
            account: None,
        };
        Ok(Self {
            http,
            exchange: Exchange::new(&config.name, config.timeouts),
            url: join_path(&config.base_url, "v1/messages"),
            authorization,
            info: ProviderInfo {
                provenance,
                context_tokens: config.context_tokens,
                max_output_tokens: Some(config.max_output_tokens),
                prices: config.prices,
            },
            config,
            requests: RequestWriter::default(),
        })
    }

    fn question(&self, body: Vec<u8>) -> RequestBuilder {
        self.http
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header("anthropic-version", API_VERSION)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body)
    }

    async fn rejection(&self, response: Response) -> ProviderError {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self.exchange.error_body(response).await;
        let (name, key_source) = (&self.config.name, &self.config.key_source);
        error::of_response(status, &headers, &body, name, key_source)
    }
}

#[async_trait]
impl Provider for AnthropicMessages {
    fn info(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let body = self
            .requests
            .write(&self.config, &self.info.provenance, &request)?;
        let response = self.exchange.send(self.question(body)).await?;
        if !response.status().is_success() {
            return Err(self.rejection(response).await);
        }
        let request_id = header(response.headers(), REQUEST_ID_HEADER).map(str::to_owned);
        deltas.send(Delta::Started { request_id }).await?;
        let key_source = self.config.key_source.clone();
        let mut answer = Answer::new(self.info.provenance.clone(), key_source);
        self.exchange.read(response, &mut answer, deltas).await
    }
}

//! The Anthropic Messages API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, Prices, ProviderError, ProviderInfo, StreamRequest};
use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use url::Url;

use crate::http::{HttpClient, StreamTimeouts, join_path, transport, transport_error};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::secret::Secret;
use crate::sse::SseParser;

mod block;
mod error;
mod event;
mod message;
mod reply;
mod request;
mod written;

use error::Rejection;
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
/// How long a complete reply waits for the end of its connection's answer before it is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
/// How much of a rejection is read: an error page must not fill our memory.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

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
    name: Arc<str>,
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
            name: config.name.as_str().into(),
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

    async fn post(&self, body: Vec<u8>) -> Result<Response, ProviderError> {
        let sending = self
            .http
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header("anthropic-version", API_VERSION)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body)
            .send();
        let limit = self.config.timeouts.first_byte;
        match tokio::time::timeout(limit, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(transport(&self.name, error)),
            Err(_) => Err(self.silent("did not answer", limit)),
        }
    }

    async fn next_piece(
        &self,
        response: &mut Response,
    ) -> Result<Option<bytes::Bytes>, ProviderError> {
        let limit = self.config.timeouts.idle;
        match tokio::time::timeout(limit, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(transport(&self.name, error)),
            Err(_) => Err(self.silent("went silent in the middle of a reply", limit)),
        }
    }

    fn silent(&self, what: &str, limit: Duration) -> ProviderError {
        transport_error(format!("{}: the API {what} for {limit:?}", self.name))
    }

    async fn rejection(&self, mut response: Response) -> ProviderError {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Ok(Some(piece)) = self.next_piece(&mut response).await {
            let room = MAX_ERROR_BODY_BYTES - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() >= room {
                break;
            }
        }
        Rejection::of_response(status, &headers, &body)
            .into_error(&self.name, &self.config.key_source)
    }

    async fn read(
        &self,
        mut response: Response,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let mut parser = SseParser::default();
        let mut reply = Reply::new(self.info.provenance.clone(), self.config.key_source.clone());
        while let Some(piece) = self.next_piece(&mut response).await? {
            let mut events = Vec::new();
            let parsed = parser.push(&piece, |event| events.push(event));
            for event in events {
                let mut out = Vec::new();
                let taken = reply.take(&event, &mut out);
                for delta in out {
                    deltas.send(delta).await?;
                }
                if let Some(finish) = taken? {
                    self.drain(response).await;
                    return Ok(finish);
                }
            }
            parsed.map_err(|error| transport_error(format!("{}: {error}", self.name)))?;
        }
        Err(transport_error(format!(
            "{}: the stream ended before the reply did",
            self.name
        )))
    }

    /// Reads the empty rest, so that the connection can be used again.
    async fn drain(&self, mut response: Response) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, rest).await.is_err() {
            tracing::debug!(provider = %self.name, "the connection stays open after the reply");
        }
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
        let response = self.post(body).await?;
        if !response.status().is_success() {
            return Err(self.rejection(response).await);
        }
        let request_id = response
            .headers()
            .get(REQUEST_ID_HEADER)
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        deltas.send(Delta::Started { request_id }).await?;
        self.read(response, deltas).await
    }
}

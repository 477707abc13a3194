//! The Gemini API.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Prices, ProviderError, ProviderInfo, StreamRequest};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use url::Url;

use crate::exchange::{Exchange, below};
use crate::http::{HttpClient, StreamTimeouts};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::secret::Secret;

mod call;
mod contents;
mod end;
mod error;
mod event;
mod reply;
mod request;

pub use reply::GeminiReply;

/// The name of this wire format.
pub(crate) const GEMINI_WIRE: &str = "gemini";
/// Where the API is.
pub(crate) const DEFAULT_BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta";
/// In a header and never in the URL, which proxies and logs keep.
pub(crate) const KEY_HEADER: &str = "x-goog-api-key";
/// The reply limit of a row that does not say one.
pub(crate) const DEFAULT_MAX_OUTPUT_TOKENS: u64 = 32_000;

/// What to ask for, and where.
#[derive(Clone, Debug)]
pub struct GeminiConfig {
    /// The row's name.
    pub name: String,
    /// Where the API is, its version included. The key goes to this origin and nowhere else.
    pub base_url: Url,
    /// The key.
    pub key: Secret,
    /// Where the key came from, for error messages.
    pub key_source: String,
    /// The model's name.
    pub model: String,
    /// The most tokens one reply may have, thoughts included.
    pub max_output_tokens: u64,
    /// The size of the model's context, where known.
    pub context_tokens: Option<u64>,
    /// What the model costs, where known.
    pub prices: Option<Prices>,
    /// How hard it thinks: a level such as `high`, or a number of tokens for models before Gemini 3;
    /// the model's default if absent.
    pub effort: Option<String>,
    /// The bounds of the waits.
    pub timeouts: StreamTimeouts,
}

/// A provider that speaks the Gemini API.
#[derive(Debug)]
pub struct Gemini {
    http: HttpClient,
    exchange: Exchange,
    config: GeminiConfig,
    url: Url,
    key: HeaderValue,
    info: ProviderInfo,
}

impl Gemini {
    /// A provider for `config` that uses the connections of `http`.
    ///
    /// # Errors
    /// A sentence when the key cannot be a key.
    pub fn new(config: GeminiConfig, http: HttpClient) -> Result<Self, String> {
        let mut key = HeaderValue::try_from(config.key.reveal())
            .map_err(|_| format!("{} holds characters no key has", config.key_source))?;
        key.set_sensitive(true);
        let provenance = Provenance {
            provider: config.name.clone(),
            wire: GEMINI_WIRE.to_owned(),
            model: config.model.clone(),
            account: None,
        };
        Ok(Self {
            http,
            exchange: Exchange::new(&config.name, config.timeouts),
            url: stream_url(&config.base_url, &config.model),
            key,
            info: ProviderInfo {
                provenance,
                context_tokens: config.context_tokens,
                max_output_tokens: Some(config.max_output_tokens),
                prices: config.prices,
            },
            config,
        })
    }

    /// The JSON of a request, byte for byte as it is sent.
    ///
    /// # Errors
    /// When there is nothing to ask.
    pub fn request_body(&self, request: &StreamRequest) -> Result<Vec<u8>, ProviderError> {
        request::body(&self.config, &self.info.provenance, request)
    }
}

/// Tuned models have a path of their own; all others are below `models`.
pub(crate) fn model_path(model: &str) -> String {
    if model.contains('/') {
        model.to_owned()
    } else {
        format!("models/{model}")
    }
}

fn stream_url(base: &Url, model: &str) -> Url {
    let mut url = below(
        base,
        &format!("{}:streamGenerateContent", model_path(model)),
    );
    url.query_pairs_mut().append_pair("alt", "sse");
    url
}

#[async_trait]
impl Provider for Gemini {
    fn info(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let question = self
            .http
            .client
            .post(self.url.clone())
            .header(KEY_HEADER, self.key.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(self.request_body(&request)?);
        let response = self.exchange.send(question).await?;
        let key_source = &self.config.key_source;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let body = self.exchange.error_body(response).await;
            let name = &self.config.name;
            return Err(error::of_response(
                status, &headers, &body, name, key_source,
            ));
        }
        let provenance = self.info.provenance.clone();
        let mut reply = GeminiReply::new(provenance, key_source.clone(), &request.items);
        self.exchange.read(response, &mut reply, deltas).await
    }
}

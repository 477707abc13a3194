//! The Gemini API.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Prices, ProviderError, ProviderInfo, StreamRequest};
use reqwest::header::HeaderName;
use url::Url;

use crate::access::{Access, KeyPlace};
use crate::exchange::{Exchange, Refused, below};
use crate::http::{HttpClient, StreamLimits};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::written::Written;

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
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("x-goog-api-key");
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
    pub access: Access,
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
    pub limits: StreamLimits,
}

/// A provider that speaks the Gemini API.
#[derive(Debug)]
pub struct Gemini {
    exchange: Exchange,
    config: GeminiConfig,
    url: Url,
    info: ProviderInfo,
    written: Written,
}

impl Gemini {
    /// A provider for `config` that uses the connections of `http`.
    #[must_use]
    pub fn new(config: GeminiConfig, http: HttpClient) -> Self {
        let provenance = Provenance {
            provider: config.name.clone(),
            wire: GEMINI_WIRE.to_owned(),
            model: config.model.clone(),
            account: None,
        };
        let access = config.access.clone();
        let place = KeyPlace::Header(KEY_HEADER);
        Self {
            exchange: Exchange::new(&config.name, http, access, place, config.limits),
            url: stream_url(&config.base_url, &config.model),
            info: ProviderInfo {
                provenance,
                context_tokens: config.context_tokens,
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
        let body = self.request_body(&request)?;
        let question = self.exchange.post(&self.url, body);
        let (name, key_source) = (&self.config.name, self.config.access.source());
        let refused = |answer: &Refused| error::of_response(answer, name, &key_source);
        let response = self.exchange.ask(question, refused).await?;
        let provenance = self.info.provenance.clone();
        let mut reply = GeminiReply::new(provenance, key_source, &request.items);
        self.exchange.read(response, &mut reply, deltas).await
    }
}

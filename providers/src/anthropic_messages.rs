//! The Anthropic Messages API.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, Prices, ProviderError, ProviderInfo, StreamRequest};
use url::Url;

use crate::access::{Access, KeyPlace};
use crate::exchange::{Exchange, Refused, header};
use crate::http::{HttpClient, StreamLimits, join_path};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::written::Written;

mod answer;
mod block;
mod error;
mod event;
mod message;
mod reply;
mod request;

use answer::Answer;
use message::is_compacted;
pub use reply::Reply;
pub use request::Thinking;

/// The name of this wire format.
pub(crate) const ANTHROPIC_WIRE: &str = "anthropic_messages";
/// Where the API is.
pub(crate) const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
const API_VERSION: &str = "2026-10-21";
/// Without it the API knows no compaction, neither to ask for nor to go on from.
const COMPACTION_BETA: &str = "compact-2026-09-04";
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
    pub access: Access,
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
    /// Whether the API's own compaction is asked for where a conversation becomes too long.
    pub compacts: bool,
    /// How hard it thinks; the model's default if absent.
    pub effort: Option<String>,
    /// The bounds of the waits.
    pub limits: StreamLimits,
}

/// A provider that speaks the Anthropic Messages API.
#[derive(Debug)]
pub struct AnthropicMessages {
    config: AnthropicConfig,
    exchange: Exchange,
    url: Url,
    info: ProviderInfo,
    written: Written,
}

impl AnthropicMessages {
    /// A provider for `config` that uses the connections of `http`.
    #[must_use]
    pub fn new(config: AnthropicConfig, http: HttpClient) -> Self {
        let provenance = Provenance {
            provider: config.name.clone(),
            wire: ANTHROPIC_WIRE.to_owned(),
            model: config.model.clone(),
            account: None,
        };
        let access = config.access.clone();
        Self {
            exchange: Exchange::new(&config.name, http, access, KeyPlace::Bearer, config.limits),
            url: join_path(&config.base_url, "v1/messages"),
            info: ProviderInfo {
                provenance,
                context_tokens: config.context_tokens,
                max_output_tokens: Some(config.max_output_tokens),
                prices: config.prices,
                compacts: config.compacts,
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
impl Provider for AnthropicMessages {
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
        let mut question = question.header("anthropic-version", API_VERSION);
        if request.compact || is_compacted(&request.items, &self.info.provenance) {
            question = question.header("anthropic-beta", COMPACTION_BETA);
        }
        let (name, key_source) = (&self.config.name, self.config.access.source());
        let refused = |answer: &Refused| error::of_response(answer, name, &key_source);
        let response = self.exchange.ask(question, refused).await?;
        let request_id = header(response.headers(), REQUEST_ID_HEADER).map(str::to_owned);
        deltas.send(Delta::Started { request_id }).await?;
        let mut answer = Answer::new(self.info.provenance.clone(), key_source);
        self.exchange.read(response, &mut answer, deltas).await
    }
}

//! OpenAI's Chat Completions, and the services that speak them in their own way.

use async_trait::async_trait;
use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, ProviderError, ProviderInfo, StreamRequest};
use url::Url;

use crate::access::KeyPlace;
use crate::exchange::{Exchange, Refused, header};
use crate::http::{HttpClient, join_path};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::openai::error;
use crate::openai::{OpenAiConfig, REQUEST_ID_HEADER};
use crate::written::Written;

mod calls;
mod content;
mod event;
mod message;
mod quirks;
mod reasoning;
mod reply;
mod request;
mod usage;

pub use quirks::{CacheKey, CallIdForm, ChatQuirks, EffortKey, LimitKey};
pub use reply::ChatReply;

/// The name of this wire format.
pub(crate) const OPENAI_CHAT_WIRE: &str = "openai_chat";

/// A provider that speaks Chat Completions.
#[derive(Debug)]
pub struct OpenAiChat {
    exchange: Exchange,
    config: OpenAiConfig,
    url: Url,
    info: ProviderInfo,
    written: Written,
}

impl OpenAiChat {
    /// A provider for `config` that uses the connections of `http`.
    #[must_use]
    pub fn new(config: OpenAiConfig, http: HttpClient) -> Self {
        let access = config.access.clone();
        Self {
            exchange: Exchange::new(&config.name, http, access, KeyPlace::Bearer, config.limits),
            url: join_path(&config.base_url, "chat/completions"),
            info: config.info(OPENAI_CHAT_WIRE),
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
impl Provider for OpenAiChat {
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
        let request_id = header(response.headers(), REQUEST_ID_HEADER).map(str::to_owned);
        deltas.send(Delta::Started { request_id }).await?;
        let provenance: Provenance = self.info.provenance.clone();
        let context = self.config.context_tokens;
        let mut reply = ChatReply::new(provenance, key_source, context, &request.items);
        self.exchange.read(response, &mut reply, deltas).await
    }
}

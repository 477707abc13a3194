//! OpenAI's Responses API, and the services that speak it.

use async_trait::async_trait;
use pullwright_protocol::provider::{Delta, ProviderError, ProviderInfo, StreamRequest};
use url::Url;

use crate::access::KeyPlace;
use crate::exchange::{Exchange, Refused, header};
use crate::http::{HttpClient, join_path};
use crate::kit::{DeltaSender, Finish, Provider};
use crate::openai::error;
use crate::openai::{OpenAiConfig, REQUEST_ID_HEADER};
use crate::written::Written;

mod compaction;
mod event;
mod input;
mod missing;
mod output;
mod reply;
mod request;
mod told;

use compaction::Compacted;
pub use reply::ResponsesReply;

/// The name of this wire format.
pub(crate) const OPENAI_RESPONSES_WIRE: &str = "openai_responses";

/// A provider that speaks the Responses API.
///
/// Nothing is kept at the service: every request carries the whole conversation, and reasoning comes
/// and goes encrypted.
#[derive(Debug)]
pub struct OpenAiResponses {
    exchange: Exchange,
    config: OpenAiConfig,
    url: Url,
    info: ProviderInfo,
    written: Written,
}

impl OpenAiResponses {
    /// A provider for `config` that uses the connections of `http`.
    #[must_use]
    pub fn new(config: OpenAiConfig, http: HttpClient) -> Self {
        let access = config.access.clone();
        Self {
            exchange: Exchange::new(&config.name, http, access, KeyPlace::Bearer, config.limits),
            url: join_path(&config.base_url, "responses"),
            info: config.info(OPENAI_RESPONSES_WIRE),
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
impl Provider for OpenAiResponses {
    fn info(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let body = self.request_body(&request)?;
        let question = if request.compact {
            let url = join_path(&self.url, "compact");
            self.exchange.post_for("application/json", &url, body)
        } else {
            self.exchange.post(&self.url, body)
        };
        let (name, key_source) = (&self.config.name, self.config.access.source());
        let refused = |answer: &Refused| error::of_response(answer, name, &key_source);
        let response = self.exchange.ask(question, refused).await?;
        let request_id = header(response.headers(), REQUEST_ID_HEADER).map(str::to_owned);
        deltas.send(Delta::Started { request_id }).await?;
        let provenance = self.info.provenance.clone();
        if request.compact {
            let mut compacted = Compacted::new(provenance, key_source);
            return self.exchange.read(response, &mut compacted, deltas).await;
        }
        let mut reply = ResponsesReply::new(provenance, key_source);
        self.exchange.read(response, &mut reply, deltas).await
    }
}

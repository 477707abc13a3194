//! What the two wire formats of OpenAI share.

use pullwright_protocol::item::joined_text;
use pullwright_protocol::provider::{Prices, ProviderInfo, StreamRequest};
use pullwright_protocol::{Content, Provenance};
use url::Url;

use crate::access::Access;
use crate::hash::fnv1a;
use crate::http::StreamLimits;
use crate::openai_chat::ChatQuirks;
use crate::openai_responses::OPENAI_RESPONSES_WIRE;

pub(crate) mod error;

/// Where OpenAI's own API is.
pub(crate) const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";
/// The header with the API's own name for a request.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";

/// What to ask for, and where.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The row's name.
    pub name: String,
    /// Where the API is, its version included. The key goes to this origin and nowhere else.
    pub base_url: Url,
    /// The key, for a service that wants one.
    pub access: Access,
    /// The model's name.
    pub model: String,
    /// The most tokens one reply may have, reasoning included; the service's own limit if absent.
    pub max_output_tokens: Option<u64>,
    /// The size of the model's context, where known.
    pub context_tokens: Option<u64>,
    /// What the model costs, where known.
    pub prices: Option<Prices>,
    /// Whether the service's own compaction is asked for where a conversation becomes too long; of
    /// Responses only.
    pub compacts: bool,
    /// How hard it thinks, such as `high`; the model's default if absent.
    pub effort: Option<String>,
    /// How the service's Chat Completions depart from OpenAI's.
    pub quirks: ChatQuirks,
    /// The bounds of the waits.
    pub limits: StreamLimits,
}

impl OpenAiConfig {
    /// What the loop is told of a provider that speaks `wire`.
    pub(crate) fn info(&self, wire: &str) -> ProviderInfo {
        ProviderInfo {
            provenance: Provenance {
                provider: self.name.clone(),
                wire: wire.to_owned(),
                model: self.model.clone(),
                account: None,
            },
            context_tokens: self.context_tokens,
            max_output_tokens: self.max_output_tokens,
            prices: self.prices,
            compacts: self.compacts && wire == OPENAI_RESPONSES_WIRE,
        }
    }

    /// The most tokens that a reply to a request may have, which may ask for fewer.
    pub(crate) fn reply_limit(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.max_output_tokens) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        }
    }
}

/// Requests with the same key are served where their common beginning is cached. The system prompt
/// and the task name a conversation.
pub(crate) fn prompt_cache_key(request: &StreamRequest) -> String {
    let task = match request.items.first().map(|item| &item.content) {
        Some(Content::User { parts }) => joined_text(parts),
        _ => String::new(),
    };
    let hash = fnv1a([request.system.as_bytes(), task.as_bytes()]);
    format!("pullwright-{hash:016x}")
}

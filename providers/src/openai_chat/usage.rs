//! What a reply used, in the words of several services.

use pullwright_protocol::provider::TokenUsage;
use serde::Deserialize;

use crate::lenient::{count, or_absent};

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "count")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    total_tokens: Option<u64>,
    #[serde(default, deserialize_with = "or_absent")]
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's cache.
    #[serde(default, deserialize_with = "count")]
    prompt_cache_hit_tokens: Option<u64>,
    /// The cache of services that pass Anthropic's usage on.
    #[serde(default, deserialize_with = "count")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "count")]
    cached_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    cache_write_tokens: Option<u64>,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let input = usage.prompt_tokens.unwrap_or_default();
        let output = usage.completion_tokens.unwrap_or_default();
        let details = usage.prompt_tokens_details.unwrap_or_default();
        Self {
            input_tokens: input,
            cached_tokens: details
                .cached_tokens
                .or(usage.prompt_cache_hit_tokens)
                .or(usage.cache_read_input_tokens)
                .unwrap_or_default(),
            cache_write_tokens: details
                .cache_write_tokens
                .or(usage.cache_creation_input_tokens)
                .unwrap_or_default(),
            // xAI leaves the reasoning out of the output, but not out of the total.
            output_tokens: usage
                .total_tokens
                .map_or(0, |total| total.saturating_sub(input))
                .max(output),
        }
    }
}

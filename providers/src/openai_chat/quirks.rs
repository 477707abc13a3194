//! How services depart from OpenAI's own Chat Completions. All of it is data, so that a row of the
//! configuration can describe a service that nobody here has seen.

use serde::{Deserialize, Serialize};

/// What a service does in its own way. The default suits most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatQuirks {
    /// The key for the most tokens of a reply.
    pub limit_key: LimitKey,
    /// The key for how hard the model thinks.
    pub effort_key: EffortKey,
    /// Whether `stream_options` is refused. Usage comes without being asked for, then.
    pub no_stream_options: bool,
    /// Whether images are refused. A note takes their place.
    pub no_images: bool,
    /// Whether every tool call must go back with `reasoning_content`, were it empty.
    pub needs_reasoning: bool,
    /// What ids of tool calls must look like.
    pub call_ids: CallIdForm,
    /// How the service is asked to cache the conversation.
    pub cache: CacheKey,
}

/// The key for the most tokens of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// The old one, which all copies know.
    #[default]
    MaxTokens,
    /// The one that OpenAI's own models want.
    MaxCompletionTokens,
}

/// The key for how hard the model thinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffortKey {
    /// `"reasoning_effort": "high"`.
    #[default]
    ReasoningEffort,
    /// `"reasoning": {"effort": "high"}`.
    Reasoning,
    /// `"thinking": {"type": "enabled"}`, and `reasoning_effort` beside it where the effort is more
    /// than a yes or no.
    Thinking,
}

/// What ids of tool calls must look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallIdForm {
    /// Up to 40 characters.
    #[default]
    Any,
    /// Nine letters and digits.
    NineCharacters,
}

/// How a service is asked to cache the conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKey {
    /// It caches by itself, or not at all.
    #[default]
    None,
    /// `prompt_cache_key`: a name for the task, by which a cache is found again.
    PromptCacheKey,
    /// `cache_control` for the request as a whole.
    CacheControl,
}

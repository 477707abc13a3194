//! The body of a request.
//!
//! Settings and tools come first and the conversation last, so that the body of each request starts
//! with the bytes of the one before, which is what the service's cache looks for.

use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{ProviderError, StreamRequest};
use serde::Serialize;

use super::message::{messages, system};
use super::quirks::{CacheKey, EffortKey, LimitKey};
use crate::function_tool::FunctionTool;
use crate::openai::{OpenAiConfig, prompt_cache_key};
use crate::written::{Place, Written};

pub(super) fn body(
    config: &OpenAiConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    written: &Written,
) -> Result<Vec<u8>, ProviderError> {
    let place = Place {
        key: "messages",
        opening: system(&request.system),
    };
    let items = &request.items;
    written.body(&Head::of(config, request), &place, items, |from| {
        messages(items, from, provenance, config.quirks)
    })
}

/// Everything but the messages.
#[derive(Default, Serialize)]
struct Head<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Typed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Typed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<FunctionTool<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    effort: &'a str,
}

#[derive(Serialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> Head<'a> {
    fn of(config: &'a OpenAiConfig, request: &'a StreamRequest) -> Self {
        let quirks = config.quirks;
        let stream_options = StreamOptions {
            include_usage: true,
        };
        let mut head = Self {
            model: &config.model,
            stream: true,
            stream_options: (!quirks.no_stream_options).then_some(stream_options),
            tools: request.tools.iter().map(FunctionTool::of).collect(),
            ..Self::default()
        };
        let limit = config.reply_limit(request.max_output_tokens);
        match quirks.limit_key {
            LimitKey::MaxTokens => head.max_tokens = limit,
            LimitKey::MaxCompletionTokens => head.max_completion_tokens = limit,
        }
        if let Some(effort) = &config.effort {
            head.set_effort(quirks.effort_key, effort);
        }
        match quirks.cache {
            CacheKey::None => {}
            CacheKey::PromptCacheKey => head.prompt_cache_key = Some(prompt_cache_key(request)),
            CacheKey::CacheControl => head.cache_control = Some(Typed { kind: "ephemeral" }),
        }
        head
    }

    fn set_effort(&mut self, key: EffortKey, effort: &'a str) {
        match (key, effort) {
            (EffortKey::ReasoningEffort, _) => self.reasoning_effort = Some(effort),
            (EffortKey::Reasoning, _) => self.reasoning = Some(Reasoning { effort }),
            (EffortKey::Thinking, "none" | "off" | "false") => {
                self.thinking = Some(Typed { kind: "disabled" });
            }
            (EffortKey::Thinking, _) => {
                self.thinking = Some(Typed { kind: "enabled" });
                let is_level = !matches!(effort, "on" | "true");
                self.reasoning_effort = is_level.then_some(effort);
            }
        }
    }
}

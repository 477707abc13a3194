//! The body of a request.
//!
//! System prompt and tools come first and the conversation last, so that the body of each request
//! starts with the bytes of the one before, cache markers apart.

use std::sync::Arc;

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{FailureKind, Item, Provenance, ToolSpec};
use serde::Serialize;
use serde_json::value::RawValue;

use super::AnthropicConfig;
use super::message::{CacheControl, Message, messages};

/// Models that cannot decide by themselves how much to think.
const WITHOUT_ADAPTIVE_THINKING: [&str; 8] = [
    "claude-3",
    "claude-haiku-4",
    "claude-sonnet-4-2",
    "claude-sonnet-4-5",
    "claude-opus-4-2",
    "claude-opus-4-1",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
];

/// Whether and how the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// The model decides.
    Adaptive,
    /// Up to so many tokens: for models that cannot decide.
    Budget(u64),
    /// Nothing is said about it.
    Unspecified,
}

impl Thinking {
    /// What fits a model by its name. An unknown name counts as a newer model.
    #[must_use]
    pub fn for_model(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        if WITHOUT_ADAPTIVE_THINKING
            .iter()
            .any(|old| name.starts_with(old))
        {
            Self::Unspecified
        } else {
            Self::Adaptive
        }
    }
}

/// The JSON of the request, byte for byte as it is sent.
///
/// # Errors
/// When there is nothing to ask.
pub fn request_body(
    config: &AnthropicConfig,
    provenance: &Provenance,
    request: &StreamRequest,
) -> Result<Vec<u8>, ProviderError> {
    let messages = messages(&request.items, provenance);
    if messages.is_empty() {
        return Err(invalid("the conversation is empty".to_owned()));
    }
    let asked = request.max_output_tokens.unwrap_or(u64::MAX);
    let body = Body {
        model: &config.model,
        max_tokens: asked.min(config.max_output_tokens),
        stream: true,
        thinking: ThinkingField::of(config.thinking),
        output_config: config
            .effort
            .as_deref()
            .map(|effort| OutputConfig { effort }),
        tools: tools(&request.tools, request.system.trim().is_empty()),
        system: system(&request.system),
        messages,
    };
    let mut bytes = Vec::with_capacity(estimated_bytes(request));
    serde_json::to_writer(&mut bytes, &body)
        .map_err(|error| invalid(format!("the request is no JSON: {error}")))?;
    Ok(bytes)
}

/// About the size of the request, so that its buffer is made once and not doubled again and again.
fn estimated_bytes(request: &StreamRequest) -> usize {
    let native = |item: &Arc<Item>| {
        item.native
            .as_ref()
            .map_or(0, |native| native.json.as_str().len())
    };
    let items: usize = request
        .items
        .iter()
        .map(|item| native(item) + ITEM_BYTES)
        .sum();
    let schema = |tool: &ToolSpec| tool.description.len() + tool.input_schema.as_str().len();
    let tools: usize = request
        .tools
        .iter()
        .map(|tool| schema(tool) + ITEM_BYTES)
        .sum();
    request.system.len() + items + tools + ITEM_BYTES
}

/// What an item or a tool has besides its text, for [`estimated_bytes`].
const ITEM_BYTES: usize = 256;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<SystemBlock<'a>>,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingField {
    Adaptive { display: &'static str },
    Enabled { budget_tokens: u64 },
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    effort: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
    cache_control: CacheControl,
}

impl ThinkingField {
    fn of(thinking: Thinking) -> Option<Self> {
        match thinking {
            Thinking::Adaptive => Some(Self::Adaptive {
                display: "summarized",
            }),
            Thinking::Budget(budget_tokens) => Some(Self::Enabled { budget_tokens }),
            Thinking::Unspecified => None,
        }
    }
}

/// The marker after the system prompt covers the tools before it; without one the tools get it.
fn tools(specs: &[ToolSpec], mark_last: bool) -> Vec<Tool<'_>> {
    let last = specs.len().saturating_sub(1);
    specs
        .iter()
        .enumerate()
        .map(|(index, spec)| Tool {
            name: &spec.name,
            description: &spec.description,
            input_schema: spec.input_schema.as_raw(),
            cache_control: (mark_last && index == last).then_some(CacheControl::EPHEMERAL),
        })
        .collect()
}

fn system(text: &str) -> Vec<SystemBlock<'_>> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    vec![SystemBlock {
        kind: "text",
        text,
        cache_control: CacheControl::EPHEMERAL,
    }]
}

fn invalid(message: String) -> ProviderError {
    ProviderError {
        kind: FailureKind::ProviderRequest,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

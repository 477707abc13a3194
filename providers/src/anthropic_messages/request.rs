//! The body of a request.
//!
//! System prompt and tools come first and the conversation last, so that the body of each request
//! starts with the bytes of the one before, cache markers apart.

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{Provenance, ToolSpec};
use serde::Serialize;
use serde_json::value::RawValue;

use super::AnthropicConfig;
use super::message::{CacheControl, messages};
use crate::written::{Place, Written};

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

pub(super) fn body(
    config: &AnthropicConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    written: &Written,
) -> Result<Vec<u8>, ProviderError> {
    let place = Place::<()> {
        key: "messages",
        opening: None,
    };
    let items = &request.items;
    written.body(&head(config, request), &place, items, |from| {
        messages(&items[from..], provenance)
    })
}

fn head<'a>(config: &'a AnthropicConfig, request: &'a StreamRequest) -> Head<'a> {
    let asked = request.max_output_tokens.unwrap_or(u64::MAX);
    Head {
        model: &config.model,
        max_tokens: asked.min(config.max_output_tokens),
        stream: true,
        thinking: ThinkingField::of(config.thinking),
        output_config: config
            .effort
            .as_deref()
            .map(|effort| OutputConfig { effort }),
        compaction: request
            .compact
            .then_some(CompactionField { kind: "summarize" }),
        tools: tools(&request.tools, request.system.trim().is_empty()),
        system: system(&request.system),
    }
}

/// Everything but the messages.
#[derive(Serialize)]
struct Head<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compaction: Option<CompactionField>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<SystemBlock<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingField {
    Adaptive { display: &'static str },
    Enabled { budget_tokens: u64 },
}

/// Asks for a block that stands for the conversation, and for nothing else.
#[derive(Serialize)]
struct CompactionField {
    #[serde(rename = "type")]
    kind: &'static str,
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

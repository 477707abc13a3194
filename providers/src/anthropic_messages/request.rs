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
use super::written::{Beginning, Written};

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

/// Writes requests. What does not change from one request of a conversation to the next is written
/// once.
#[derive(Debug, Default)]
pub struct RequestWriter {
    written: Written,
}

impl RequestWriter {
    /// The JSON of the request, byte for byte as it is sent.
    ///
    /// # Errors
    /// When there is nothing to ask.
    pub fn write(
        &self,
        config: &AnthropicConfig,
        provenance: &Provenance,
        request: &StreamRequest,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut beginning = self.written.take(&request.items);
        let body = write_body(config, provenance, request, &mut beginning);
        self.written.keep(beginning);
        body.map_err(|error| match error {
            BodyError::Empty => invalid("the conversation is empty".to_owned()),
            BodyError::Json(error) => invalid(format!("the request is no JSON: {error}")),
        })
    }
}

enum BodyError {
    Empty,
    Json(serde_json::Error),
}

impl From<serde_json::Error> for BodyError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// Writes the body, and adds to `beginning` what does not change any more.
fn write_body(
    config: &AnthropicConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    beginning: &mut Beginning,
) -> Result<Vec<u8>, BodyError> {
    let known = beginning.items.len();
    let (messages, unchanging) = messages(&request.items[known..], provenance);
    if messages.is_empty() && beginning.json.is_empty() {
        return Err(BodyError::Empty);
    }
    let (unchanging, rest) = messages.split_at(unchanging);
    if let Some(first_that_changes) = rest.first() {
        write_all(&mut beginning.json, unchanging)?;
        let final_items = known..known + first_that_changes.first_item;
        beginning
            .items
            .extend_from_slice(&request.items[final_items]);
    }
    let mut body = Vec::with_capacity(estimated_bytes(request, beginning));
    serde_json::to_writer(&mut body, &head(config, request))?;
    // The messages become the last field of the object.
    body.pop();
    body.extend_from_slice(b",\"messages\":[");
    let start = body.len();
    body.extend_from_slice(&beginning.json);
    write_rest(&mut body, start, rest)?;
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// Appends messages to a list of them, separated by commas.
fn write_all(list: &mut Vec<u8>, messages: &[Message<'_>]) -> serde_json::Result<()> {
    write_rest(list, 0, messages)
}

/// The same for a list that begins at `start`.
fn write_rest(
    json: &mut Vec<u8>,
    start: usize,
    messages: &[Message<'_>],
) -> serde_json::Result<()> {
    for message in messages {
        if json.len() > start {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, message)?;
    }
    Ok(())
}

/// The JSON of the first request of a conversation, byte for byte as it is sent.
///
/// # Errors
/// As [`RequestWriter::write`].
pub fn request_body(
    config: &AnthropicConfig,
    provenance: &Provenance,
    request: &StreamRequest,
) -> Result<Vec<u8>, ProviderError> {
    RequestWriter::default().write(config, provenance, request)
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
        tools: tools(&request.tools, request.system.trim().is_empty()),
        system: system(&request.system),
    }
}

/// About the size of the request, so that its buffer is made once and not doubled again and again.
fn estimated_bytes(request: &StreamRequest, beginning: &Beginning) -> usize {
    let native = |item: &Arc<Item>| {
        item.native
            .as_ref()
            .map_or(0, |native| native.json.as_str().len())
    };
    let items: usize = request.items[beginning.items.len()..]
        .iter()
        .map(|item| native(item) + ITEM_BYTES)
        .sum();
    let schema = |tool: &ToolSpec| tool.description.len() + tool.input_schema.as_str().len();
    let tools: usize = request
        .tools
        .iter()
        .map(|tool| schema(tool) + ITEM_BYTES)
        .sum();
    request.system.len() + beginning.json.len() + items + tools + ITEM_BYTES
}

/// What an item or a tool has besides its text, for [`estimated_bytes`].
const ITEM_BYTES: usize = 256;

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

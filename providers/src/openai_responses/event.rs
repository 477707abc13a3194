//! The events of the stream. Unknown ones, and unknown fields, are no errors.

use std::borrow::Cow;

use pullwright_protocol::provider::TokenUsage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    pub(super) output_index: Option<u64>,
    pub(super) summary_index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
}

/// The response as it stands at its end.
#[derive(Debug, Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) output: Option<Vec<&'a RawValue>>,
    pub(super) usage: Option<Usage>,
    pub(super) incomplete_details: Option<IncompleteDetails>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    /// What the service left out of the input.
    #[serde(default)]
    pub(super) input_transformations: Option<Vec<Transformation>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Transformation {
    #[serde(default)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct IncompleteDetails {
    pub(super) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

/// What is to be known of an item when it begins.
#[derive(Debug, Deserialize)]
pub(super) struct AddedItem {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) call_id: Option<String>,
    pub(super) name: Option<String>,
}

/// A whole item of the output.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OutputItem {
    Message {
        content: Option<Vec<MessagePart>>,
    },
    Reasoning {
        summary: Option<Vec<Words>>,
        content: Option<Vec<Words>>,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: Option<String>,
    },
    CustomToolCall {
        call_id: String,
        name: String,
        input: Option<String>,
    },
    #[serde(other)]
    Other,
}

impl OutputItem {
    /// Whether the model refuses in it.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Message { content } = self else {
            return false;
        };
        let mut parts = content.iter().flatten();
        parts.any(|part| matches!(part, MessagePart::Refusal { .. }))
    }
}

/// A part of a message's content.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum MessagePart {
    Text { text: String },
    Refusal { refusal: String },
    Other(IgnoredAny),
}

/// A part of a summary or of reasoning.
#[derive(Debug, Deserialize)]
pub(super) struct Words {
    #[serde(default)]
    pub(super) text: String,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let details = usage.input_tokens_details.unwrap_or_default();
        Self {
            input_tokens: usage.input_tokens.unwrap_or_default(),
            cached_tokens: details.cached_tokens.unwrap_or_default(),
            cache_write_tokens: details.cache_write_tokens.unwrap_or_default(),
            output_tokens: usage.output_tokens.unwrap_or_default(),
        }
    }
}

//! The events of the stream. Unknown ones and unknown fields are no errors, nor are fields that a reply can
//! do without.

use std::borrow::Cow;

use pullwright_protocol::provider::TokenUsage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lenient::{count, or_absent};
use crate::transformations::Transformation;

#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "count")]
    pub(super) output_index: Option<u64>,
    #[serde(default, deserialize_with = "count")]
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
    pub(super) output: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) usage: Option<Usage>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) incomplete_details: Option<IncompleteDetails>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    /// What the service left out of the input.
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) input_transformations: Option<Vec<Transformation>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct IncompleteDetails {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "or_absent")]
    input_tokens_details: Option<InputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct InputDetails {
    #[serde(default, deserialize_with = "count")]
    cached_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
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
        /// Parts with words, for the reader only: the item goes back as it came.
        #[serde(default)]
        summary: Value,
        #[serde(default)]
        content: Value,
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

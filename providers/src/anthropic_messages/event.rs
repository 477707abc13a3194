//! The events of the stream. Unknown ones and unknown fields are no errors, nor are fields that a reply can
//! do without.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::block::NativeBlock;
use crate::lenient::{count, or_absent, or_default};
use crate::transformations::Transformation;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Kind {
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    ContentBlockStop,
    MessageDelta,
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct MessageStart {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message: Message,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Message {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) usage: Usage,
    /// What the API did to the input.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) input_transformations: Vec<Transformation>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BlockStart {
    pub(super) index: u64,
    pub(super) content_block: NativeBlock,
}

#[derive(Debug, Deserialize)]
pub(super) struct BlockDelta {
    pub(super) index: u64,
    pub(super) delta: Piece,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    CitationsDelta {
        citation: serde_json::Value,
    },
    CompactionDelta {
        #[serde(default)]
        content: Option<String>,
        #[serde(default)]
        encrypted_content: Option<String>,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct BlockStop {
    pub(super) index: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct MessageDelta {
    pub(super) delta: StopDelta,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) input_transformations: Vec<Transformation>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) usage: Usage,
}

#[derive(Debug, Deserialize)]
pub(super) struct StopDelta {
    #[serde(default)]
    pub(super) stop_reason: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) stop_details: Option<StopDetails>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StopDetails {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) category: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) explanation: Option<String>,
}

/// Cumulative counts; an absent one is as it was.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "count")]
    pub(super) input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) cache_creation_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) output_tokens: Option<u64>,
}

/// An error, in the stream or as the body of a rejection.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) error: ErrorObject,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) request_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorObject {
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message: String,
    #[serde(default)]
    pub(super) details: Option<Box<RawValue>>,
}

impl ErrorObject {
    /// The machine-readable code in the details, if any.
    pub(super) fn code(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Details {
            error_code: String,
        }
        let details: Details = serde_json::from_str(self.details.as_ref()?.get()).ok()?;
        Some(details.error_code)
    }
}

impl Usage {
    /// The last figure of each count wins.
    pub(super) fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens = newer
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens = newer
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
    }
}

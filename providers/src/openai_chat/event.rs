//! The events of the stream. Unknown fields are no errors, nor are fields that a reply can do without.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::usage::Usage;
use crate::lenient::{count, or_absent};

#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) object: Option<String>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) usage: Option<Usage>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) x_groq: Option<Beside>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// Where Groq puts the usage.
#[derive(Debug, Deserialize)]
pub(super) struct Beside {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default, deserialize_with = "count")]
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) reasoning: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) reasoning_details: Option<Vec<Map<String, Value>>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<CallPiece<'a>>>,
    /// What Groq's own tools did.
    #[serde(borrow)]
    pub(super) executed_tools: Option<&'a RawValue>,
    /// Where the text comes from.
    #[serde(borrow)]
    pub(super) annotations: Option<&'a RawValue>,
}

/// A piece of a tool call, or all of it.
#[derive(Debug, Deserialize)]
pub(super) struct CallPiece<'a> {
    #[serde(default, deserialize_with = "count")]
    pub(super) index: Option<u64>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) id: Option<String>,
    #[serde(borrow)]
    pub(super) function: Option<FunctionPiece<'a>>,
    /// What must go back with the call, such as a signature of Gemini's.
    #[serde(borrow)]
    pub(super) extra_content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionPiece<'a> {
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Whether it is an error; some services do not put theirs under `error`.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_deref() == Some("error")
    }
}

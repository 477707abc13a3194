//! The lines of the stream. Unknown ones and unknown fields are no errors, nor are fields that a reply can
//! do without.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lenient::{count, or_absent};

#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    pub(super) done: Option<bool>,
    pub(super) done_reason: Option<String>,
    #[serde(default, deserialize_with = "count")]
    pub(super) prompt_eval_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) eval_count: Option<u64>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    pub(super) content: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) thinking: Option<String>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<&'a RawValue>>,
}

/// A tool call always comes whole.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) id: Option<String>,
    #[serde(borrow)]
    pub(super) function: Function<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    pub(super) name: String,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

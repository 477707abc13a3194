//! The events of the stream. Unknown fields are no errors, nor are fields that a reply can do without.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Number;
use serde_json::value::RawValue;

use crate::lenient::{count, or_absent};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) prompt_feedback: Option<PromptFeedback>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) usage_metadata: Option<Usage>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) response_id: Option<String>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) finish_message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) block_reason: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) block_reason_message: Option<String>,
}

/// A part that is a piece of running text and nothing else, so that pieces can be joined.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainText {
    pub(super) text: String,
    #[serde(default)]
    pub(super) thought: bool,
}

/// Any other part.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) thought: Option<bool>,
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) thought_signature: Option<String>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
    pub(super) executable_code: Option<IgnoredAny>,
    pub(super) code_execution_result: Option<IgnoredAny>,
}

/// A whole call, or a piece of one whose arguments are streamed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall<'a> {
    #[serde(default, deserialize_with = "or_absent")]
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    pub(super) partial_args: Option<Vec<PartialArg>>,
    pub(super) will_continue: Option<bool>,
}

/// A value, or more of a text, for one place in the arguments.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartialArg {
    pub(super) json_path: String,
    pub(super) string_value: Option<String>,
    pub(super) number_value: Option<Number>,
    pub(super) bool_value: Option<bool>,
}

/// Cumulative counts; an absent one is as it was.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "count")]
    pub(super) prompt_token_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) tool_use_prompt_token_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) cached_content_token_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) candidates_token_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) thoughts_token_count: Option<u64>,
}

impl Usage {
    /// The last figure of each count wins.
    pub(super) fn update(&mut self, newer: Self) {
        self.prompt_token_count = newer.prompt_token_count.or(self.prompt_token_count);
        self.tool_use_prompt_token_count = newer
            .tool_use_prompt_token_count
            .or(self.tool_use_prompt_token_count);
        self.cached_content_token_count = newer
            .cached_content_token_count
            .or(self.cached_content_token_count);
        self.candidates_token_count = newer.candidates_token_count.or(self.candidates_token_count);
        self.thoughts_token_count = newer.thoughts_token_count.or(self.thoughts_token_count);
    }
}

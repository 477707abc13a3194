//! Conversation items: what was said to a model and what it answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw_json::RawJson;

/// One entry of a conversation. Items are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// The neutral view, understood by every provider.
    pub content: Content,
    /// The provider's own JSON for it, replayed verbatim where the provenance matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Native>,
}

/// The neutral view of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// Said by the framework on behalf of the user.
    User {
        /// The parts, in order.
        parts: Vec<Part>,
    },
    /// Text the model wrote for the reader.
    Text {
        /// The whole text.
        text: String,
    },
    /// The model's reasoning. The signature, if any, is in the native JSON.
    Reasoning {
        /// The readable part; empty when the provider withheld it.
        text: String,
    },
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// The answer to a tool call.
    ToolResult {
        /// The id of the call that is answered.
        call_id: String,
        /// The parts, in order.
        parts: Vec<Part>,
        /// Whether the call failed in a way the model can repair.
        is_error: bool,
    },
    /// An item only its own provider understands, such as a server-side tool's result.
    Opaque,
}

/// A request of the model to run one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The provider's id, echoed in the result.
    pub call_id: String,
    /// The name as shown to the model.
    pub name: String,
    /// The raw argument text. It should be a JSON object, but models do not always manage.
    pub arguments: String,
}

/// A piece of a user message or a tool result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// Its media type, such as `image/png`.
        media_type: String,
        /// Its bytes in base64.
        data: String,
    },
}

/// A provider's own JSON for an item, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Native {
    /// Who produced it.
    pub provenance: Provenance,
    /// The JSON, verbatim.
    pub json: RawJson,
}

/// Who produced an item. Native JSON goes back only to the same provenance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The name of the row in `plugins.toml`.
    pub provider: String,
    /// The wire format, such as `anthropic_messages`.
    pub wire: String,
    /// The model's name on the wire.
    pub model: String,
    /// A fingerprint of the account, where replies are bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Item {
    /// A user item of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::neutral(Content::User {
            parts: vec![Part::text(text)],
        })
    }

    /// An item without native JSON.
    #[must_use]
    pub fn neutral(content: Content) -> Self {
        Self {
            content,
            native: None,
        }
    }

    /// The answer to a tool call, as one text.
    pub fn tool_result(
        call_id: impl Into<String>,
        text: impl Into<String>,
        is_error: bool,
    ) -> Self {
        Self::neutral(Content::ToolResult {
            call_id: call_id.into(),
            parts: vec![Part::text(text)],
            is_error,
        })
    }

    /// Whether the model wrote this item (as against the user or a tool).
    #[must_use]
    pub fn is_from_model(&self) -> bool {
        !matches!(
            self.content,
            Content::User { .. } | Content::ToolResult { .. }
        )
    }
}

impl Part {
    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// All text parts, joined by line breaks.
#[must_use]
pub fn joined_text(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            Part::Image { .. } => None,
        })
        .collect();
    texts.join("\n")
}

//! Items of the output as items of the conversation.

use pullwright_protocol::{Content, ToolCall};
use serde_json::{Value, json};

use super::event::{MessagePart, OutputItem};

/// What stands between the parts of a summary.
pub(super) const BETWEEN_PARTS: &str = "\n\n";
/// The key of a freeform tool's only argument, for the loop, whose tools all take JSON.
pub(super) const FREEFORM_KEY: &str = "input";

/// The neutral view of an item.
pub(super) fn content(item: OutputItem) -> Content {
    match item {
        OutputItem::Message { content } => Content::Text {
            text: content.into_iter().flatten().filter_map(words).collect(),
        },
        OutputItem::Reasoning { summary, content } => Content::Reasoning {
            text: reasoning(&summary, &content),
        },
        OutputItem::FunctionCall {
            call_id,
            name,
            arguments,
        } => Content::ToolCall(ToolCall {
            call_id,
            name,
            arguments: arguments
                .filter(|text| !text.trim().is_empty())
                .unwrap_or_else(|| "{}".to_owned()),
        }),
        OutputItem::CustomToolCall {
            call_id,
            name,
            input,
        } => Content::ToolCall(ToolCall {
            call_id,
            name,
            arguments: json!({ FREEFORM_KEY: input.unwrap_or_default() }).to_string(),
        }),
        OutputItem::Other => Content::Opaque,
    }
}

fn words(part: MessagePart) -> Option<String> {
    match part {
        MessagePart::Text { text } | MessagePart::Refusal { refusal: text } => Some(text),
        MessagePart::Other(_) => None,
    }
}

/// The summary, or the reasoning itself where a service shows it.
fn reasoning(summary: &Value, content: &Value) -> String {
    let parts = [summary, content].into_iter().filter_map(Value::as_array);
    let said: Vec<&str> = parts
        .flatten()
        .filter_map(|part| part["text"].as_str())
        .collect();
    said.join(BETWEEN_PARTS)
}

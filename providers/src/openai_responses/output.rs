//! Items of the output as items of the conversation.

use pullwright_protocol::{Content, ToolCall};
use serde_json::json;

use super::event::{MessagePart, OutputItem, Words};

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
            text: reasoning(&summary.unwrap_or_default(), &content.unwrap_or_default()),
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
fn reasoning(summary: &[Words], content: &[Words]) -> String {
    let said: Vec<&str> = summary
        .iter()
        .chain(content)
        .map(|part| part.text.as_str())
        .collect();
    said.join(BETWEEN_PARTS)
}

//! What was said, for those who ask to see it: messages in the shape of the conventions
//! (`gen-ai-input-messages.json` and `gen-ai-output-messages.json`), bounded in size.

use pullwright_protocol::{Content, Item, Part};
use serde_json::{Value, json};

/// The most bytes of text of one part of a message.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The most bytes of one attribute. With the queue of spans it bounds what content takes of the memory.
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// What stands at the end of a text that was cut.
const CUT: &str = "… (cut)";

/// One part of a message, and who said it.
pub(super) struct Said {
    role: &'static str,
    part: Value,
}

/// Messages of one attribute. What exceeds its bound is left out.
#[derive(Default)]
pub(super) struct Messages {
    said: Vec<Said>,
    bytes: usize,
}

impl Said {
    /// What an item of a conversation says; nothing where only its provider can read it.
    pub(super) fn of(item: &Item) -> Vec<Self> {
        match &item.content {
            Content::User { parts } => by("user", parts.iter().map(part).collect()),
            Content::Text { text } => by("assistant", vec![text_part(text)]),
            Content::Reasoning { text } => by(
                "assistant",
                vec![json!({ "type": "reasoning", "content": cut(text) })],
            ),
            Content::ToolCall(call) => {
                let arguments = bounded_json(&call.arguments);
                let part = json!({
                    "type": "tool_call", "id": cut(&call.call_id), "name": cut(&call.name),
                    "arguments": arguments,
                });
                by("assistant", vec![part])
            }
            Content::ToolResult { call_id, parts, .. } => {
                by("tool", vec![response(call_id, parts)])
            }
            Content::Opaque => Vec::new(),
        }
    }

    /// A tool's answer.
    pub(super) fn answer(call_id: &str, parts: &[Part]) -> Self {
        Self {
            role: "tool",
            part: response(call_id, parts),
        }
    }
}

impl Messages {
    pub(super) fn push(&mut self, said: Said) {
        let bytes = said.part.to_string().len();
        if self.bytes + bytes <= MAX_ATTRIBUTE_BYTES {
            self.bytes += bytes;
            self.said.push(said);
        }
    }

    /// As the value of `gen_ai.input.messages`; nothing where nothing was said.
    pub(super) fn input(self) -> Option<String> {
        if self.said.is_empty() {
            return None;
        }
        let message = |said: Said| json!({ "role": said.role, "parts": [said.part] });
        let messages: Vec<Value> = self.said.into_iter().map(message).collect();
        Some(Value::from(messages).to_string())
    }

    /// As the value of `gen_ai.output.messages`: one reply, which ended as `finish_reason` says.
    pub(super) fn output(self, finish_reason: &str) -> Option<String> {
        if self.said.is_empty() {
            return None;
        }
        let parts: Vec<Value> = self.said.into_iter().map(|said| said.part).collect();
        let message = json!({
            "role": "assistant", "parts": parts, "finish_reason": finish_reason,
        });
        Some(Value::from(vec![message]).to_string())
    }
}

/// As the value of `gen_ai.system_instructions`.
pub(super) fn instructions(system: &str) -> String {
    Value::from(vec![text_part(system)]).to_string()
}

/// The text of a tool's answer, as one attribute.
pub(super) fn result(parts: &[Part]) -> String {
    cut(&pullwright_protocol::item::joined_text(parts))
}

/// A text of at most [`MAX_TEXT_BYTES`].
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    format!("{}{CUT}", &text[..end])
}

fn by(role: &'static str, parts: Vec<Value>) -> Vec<Said> {
    let said = |part| Said { role, part };
    parts.into_iter().map(said).collect()
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text { text } => text_part(text),
        // The bytes of a picture are no text to read in a trace.
        Part::Image { media_type, .. } => json!({ "type": "image", "mime_type": cut(media_type) }),
    }
}

fn text_part(text: &str) -> Value {
    json!({ "type": "text", "content": cut(text) })
}

fn response(call_id: &str, parts: &[Part]) -> Value {
    json!({ "type": "tool_call_response", "id": cut(call_id), "response": result(parts) })
}

/// JSON where it is short enough to stay whole, and its beginning as text where not.
fn bounded_json(text: &str) -> Value {
    let whole = (text.len() <= MAX_TEXT_BYTES).then(|| serde_json::from_str(text).ok());
    whole.flatten().unwrap_or_else(|| Value::from(cut(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(MAX_TEXT_BYTES);
        let cut = cut(&text);
        assert!(cut.len() <= MAX_TEXT_BYTES + CUT.len());
        assert!(cut.ends_with(CUT) && cut.starts_with('ä'));
    }

    #[test]
    fn an_attribute_is_bounded_and_stays_json() {
        let mut messages = Messages::default();
        for _ in 0..1000 {
            for said in Said::of(&Item::user("x\"\n".repeat(1000))) {
                messages.push(said);
            }
        }
        let text = messages.input().unwrap();
        assert!(text.len() < 2 * MAX_ATTRIBUTE_BYTES, "{}", text.len());
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["role"], "user");
        assert_eq!(parsed[0]["parts"][0]["type"], "text");
    }

    #[test]
    fn arguments_that_are_not_json_stay_text() {
        assert_eq!(bounded_json("{\"a\":1}"), json!({ "a": 1 }));
        assert_eq!(bounded_json("{\"a\":"), json!("{\"a\":"));
    }
}

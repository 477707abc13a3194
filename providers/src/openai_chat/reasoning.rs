//! A reply's reasoning, in the form in which its service wants it back.

use pullwright_protocol::RawJson;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// A detail that comes whole and must not be joined with another.
const ENCRYPTED: &str = "reasoning.encrypted";
/// The keys of a detail that come in pieces.
const GROWING: [&str; 2] = ["text", "summary"];

/// Reasoning as it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasoning {
    form: Option<Form>,
    text: String,
    /// The content as it was, up to the text.
    inline: String,
    details: Vec<Map<String, Value>>,
}

/// Where reasoning came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The key `reasoning_content`.
    ReasoningContent,
    /// The key `reasoning`.
    Reasoning,
    /// A part of content that is a list.
    Part,
    /// Tags inside of the text.
    Inline,
}

/// The native JSON of an item: the keys that the assistant's message gets back.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NativeReasoning<'a> {
    #[serde(borrow)]
    pub(super) reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reasoning_details: Option<&'a RawValue>,
    /// A part of the content.
    #[serde(borrow)]
    pub(super) thinking: Option<&'a RawValue>,
    /// The beginning of the content.
    pub(super) inline: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    ReasoningContent(&'a str),
    Reasoning(&'a str),
    ReasoningDetails(&'a [Map<String, Value>]),
    Thinking([ThinkingPart<'a>; 1]),
    Inline(&'a str),
}

#[derive(Serialize)]
struct ThinkingPart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

impl Reasoning {
    pub(super) fn push(&mut self, form: Form, text: &str) {
        self.form.get_or_insert(form);
        self.text.push_str(text);
        if form == Form::Inline {
            self.inline.push_str(text);
        }
    }

    /// What stands around reasoning inside of the text.
    pub(super) fn push_tag(&mut self, tag: &str) {
        self.form.get_or_insert(Form::Inline);
        self.inline.push_str(tag);
    }

    /// Adds a piece of a detail. Answers its words.
    pub(super) fn push_detail(&mut self, piece: Map<String, Value>) -> String {
        let words = GROWING.iter().find_map(|key| piece.get(*key)?.as_str());
        let words = words.unwrap_or_default().to_owned();
        match self.details.last_mut() {
            Some(last) if goes_on(last, &piece) => join(last, piece),
            _ => self.details.push(piece),
        }
        words
    }

    /// The words and the native JSON; nothing when there was no reasoning.
    pub(super) fn finish(self) -> Option<(String, Option<RawJson>)> {
        let text = self.text.as_str();
        let written = match self.form {
            _ if !self.details.is_empty() => Written::ReasoningDetails(&self.details),
            Some(Form::ReasoningContent) => Written::ReasoningContent(text),
            Some(Form::Reasoning) => Written::Reasoning(text),
            Some(Form::Part) => Written::Thinking([ThinkingPart { kind: "text", text }]),
            Some(Form::Inline) => Written::Inline(&self.inline),
            None => return None,
        };
        let native = to_raw_value(&written).ok().map(RawJson::from);
        Some((self.text, native))
    }
}

fn goes_on(last: &Map<String, Value>, piece: &Map<String, Value>) -> bool {
    let same = |key: &str| last.get(key) == piece.get(key);
    let kind = last.get("type").and_then(Value::as_str);
    let ids = (last.get("id"), piece.get("id"));
    let same_id = match ids {
        (Some(Value::String(a)), Some(Value::String(b))) => a == b,
        _ => true,
    };
    same("type") && same("index") && same_id && kind != Some(ENCRYPTED)
}

fn join(last: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (key, value) in piece {
        match (last.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if GROWING.contains(&key.as_str()) => {
                text.push_str(&more);
            }
            (_, value) => {
                last.insert(key, value);
            }
        }
    }
}

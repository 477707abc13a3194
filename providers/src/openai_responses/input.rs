//! The conversation as the API's input: what the model said goes back as it came.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::{Content, Item, Part as ItemPart, Provenance, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call_ids::in_characters;
use crate::written::{self, Messages};

/// The longest id of a tool call that the API takes.
const MAX_ID_CHARS: usize = 64;

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Input<'a> {
    item: InputItem<'a>,
    /// Which of the items it is.
    #[serde(skip)]
    index: usize,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum InputItem<'a> {
    Native(&'a RawValue),
    Ours(Ours<'a>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Ours<'a> {
    Message {
        role: &'static str,
        content: Vec<Part<'a>>,
    },
    FunctionCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Output<'a>,
    },
    CustomToolCallOutput {
        call_id: Cow<'a, str>,
        output: Output<'a>,
    },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(String),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: &'a str },
    InputImage { image_url: String },
    OutputText { text: &'a str },
}

/// A call as the API knows it.
#[derive(Clone, Debug)]
struct KnownCall<'a> {
    id: Cow<'a, str>,
    is_freeform: bool,
}

/// The input for the items of a conversation from `from` on. Native JSON is used where it came from
/// `provenance`; elsewhere the neutral view, without reasoning.
pub(super) fn input<'a>(
    items: &'a [Arc<Item>],
    from: usize,
    provenance: &Provenance,
) -> Messages<Input<'a>> {
    let (written, new) = items.split_at(from);
    let mut calls = HashMap::new();
    for item in written {
        remember_call(item, provenance, &mut calls);
    }
    let mut all = Vec::new();
    for (index, item) in new.iter().enumerate() {
        remember_call(item, provenance, &mut calls);
        let is_left_out = is_reasoning(item) && !is_followed(&new[index..], provenance);
        let written = input_item(item, provenance, &calls).filter(|_| !is_left_out);
        all.extend(written.map(|item| Input { item, index }));
    }
    let unchanging = all.len().saturating_sub(1);
    Messages { all, unchanging }
}

fn remember_call<'a>(
    item: &'a Item,
    provenance: &Provenance,
    calls: &mut HashMap<&'a str, KnownCall<'a>>,
) {
    let Content::ToolCall(call) = &item.content else {
        return;
    };
    let known = match native(item, provenance) {
        Some(native) => KnownCall {
            id: call.call_id.as_str().into(),
            is_freeform: is_freeform(native),
        },
        None => KnownCall {
            id: in_characters(&call.call_id, MAX_ID_CHARS),
            is_freeform: false,
        },
    };
    calls.insert(&call.call_id, known);
}

fn is_freeform(native: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Typed<'_>>(native.get())
        .is_ok_and(|typed| typed.kind == "custom_tool_call")
}

fn is_reasoning(item: &Item) -> bool {
    matches!(item.content, Content::Reasoning { .. })
}

/// The API refuses reasoning without what it led to, as a reply that was cut short leaves it.
fn is_followed(items: &[Arc<Item>], provenance: &Provenance) -> bool {
    let next = items.iter().find(|item| !is_reasoning(item));
    next.is_some_and(|item| native(item, provenance).is_some())
}

fn native<'a>(item: &'a Item, provenance: &Provenance) -> Option<&'a RawValue> {
    let native = item.native.as_ref()?;
    (native.provenance == *provenance).then(|| native.json.as_raw())
}

fn input_item<'a>(
    item: &'a Item,
    provenance: &Provenance,
    calls: &HashMap<&'a str, KnownCall<'a>>,
) -> Option<InputItem<'a>> {
    if let Some(native) = native(item, provenance) {
        return Some(InputItem::Native(native));
    }
    let ours = match &item.content {
        Content::User { parts } => message("user", parts_of(parts)),
        Content::Text { text } if text.is_empty() => None,
        Content::Text { text } => message("assistant", vec![Part::OutputText { text }]),
        Content::ToolCall(call) => calls
            .get(call.call_id.as_str())
            .map(|known| function_call(call, known)),
        Content::ToolResult { call_id, parts, .. } => match calls.get(call_id.as_str()) {
            Some(known) => Some(call_output(known, parts)),
            // The API refuses a result without its call, but the words need not be lost.
            None => message("user", parts_of(parts)),
        },
        Content::Reasoning { .. } | Content::Opaque => None,
    };
    ours.map(InputItem::Ours)
}

fn message<'a>(role: &'static str, content: Vec<Part<'a>>) -> Option<Ours<'a>> {
    (!content.is_empty()).then_some(Ours::Message { role, content })
}

fn function_call<'a>(call: &'a ToolCall, known: &KnownCall<'a>) -> Ours<'a> {
    Ours::FunctionCall {
        call_id: known.id.clone(),
        name: &call.name,
        arguments: &call.arguments,
    }
}

fn call_output<'a>(known: &KnownCall<'a>, parts: &'a [ItemPart]) -> Ours<'a> {
    let call_id = known.id.clone();
    let has_images = parts
        .iter()
        .any(|part| matches!(part, ItemPart::Image { .. }));
    let output = if has_images {
        Output::Parts(parts_of(parts))
    } else {
        Output::Text(joined_text(parts))
    };
    if known.is_freeform {
        Ours::CustomToolCallOutput { call_id, output }
    } else {
        Ours::FunctionCallOutput { call_id, output }
    }
}

fn parts_of(parts: &[ItemPart]) -> Vec<Part<'_>> {
    let parts = parts.iter().filter_map(|part| match part {
        ItemPart::Text { text } if text.trim().is_empty() => None,
        ItemPart::Text { text } => Some(Part::InputText { text }),
        ItemPart::Image { media_type, data } => Some(Part::InputImage {
            image_url: format!("data:{media_type};base64,{data}"),
        }),
    });
    parts.collect()
}

impl written::Message for Input<'_> {
    fn first_item(&self) -> usize {
        self.index
    }
}

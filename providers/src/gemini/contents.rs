//! The conversation as the API's contents: what the model said goes back as it came.

use std::collections::HashMap;
use std::sync::Arc;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::{Content as ItemContent, Item, Part as ItemPart, Provenance, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arguments;
use crate::call_ids::on_the_wire;
use crate::written::{self, Messages};

/// The first call of a step must be signed. What another model called never was, and this is the
/// signature that the API takes for it.
const FOREIGN_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    role: Role,
    parts: Vec<Part<'a>>,
    /// Which of the items it begins with.
    #[serde(skip)]
    first_item: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Model,
}

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Part<'a> {
    Native(&'a RawValue),
    Text {
        text: &'a str,
    },
    Image {
        inline_data: Image<'a>,
    },
    Call {
        function_call: Call<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thought_signature: Option<&'static str>,
    },
    Result {
        function_response: CallResult<'a>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: Box<RawValue>,
}

#[derive(Debug, Serialize)]
struct CallResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Response,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Output(String),
    Error(String),
}

/// The contents for the items of a conversation from `from` on. Native JSON is used where it came
/// from `provenance`; elsewhere the neutral view, without reasoning.
pub(super) fn contents<'a>(
    items: &'a [Arc<Item>],
    from: usize,
    provenance: &Provenance,
) -> Messages<Content<'a>> {
    let (written, new) = items.split_at(from);
    let mut builder = Builder::default();
    for item in written {
        builder.remember_call(item);
    }
    for (index, item) in new.iter().enumerate() {
        builder.index = index;
        builder.remember_call(item);
        builder.add(item, provenance);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder<'a> {
    /// The item that is being added.
    index: usize,
    contents: Vec<Content<'a>>,
    /// The calls so far: their place in the conversation and their names, which results repeat.
    calls: HashMap<&'a str, (usize, &'a str)>,
    /// The results since the model last spoke, each with the place of its call.
    results: Vec<(usize, Part<'a>)>,
    /// What the user said since then.
    said: Vec<Part<'a>>,
    /// The first item since then.
    turn_begins: Option<usize>,
}

impl<'a> Builder<'a> {
    fn remember_call(&mut self, item: &'a Item) {
        if let ItemContent::ToolCall(call) = &item.content {
            let place = self.calls.len();
            self.calls.insert(&call.call_id, (place, &call.name));
        }
    }

    fn add(&mut self, item: &'a Item, provenance: &Provenance) {
        match &item.content {
            ItemContent::User { parts } => {
                self.turn_begins.get_or_insert(self.index);
                self.said.extend(parts.iter().filter_map(part));
            }
            ItemContent::ToolResult {
                call_id,
                parts,
                is_error,
            } => self.add_result(call_id, parts, *is_error),
            _ => self.add_from_model(item, provenance),
        }
    }

    /// Results go by the order of their calls: without ids the API tells them apart by it.
    fn add_result(&mut self, call_id: &'a str, parts: &'a [ItemPart], is_error: bool) {
        self.turn_begins.get_or_insert(self.index);
        let Some((place, name)) = self.calls.get(call_id).copied() else {
            // The API refuses a result without its call, but the words need not be lost.
            self.said.extend(parts.iter().filter_map(part));
            return;
        };
        let text = joined_text(parts);
        let function_response = CallResult {
            id: on_the_wire(call_id),
            name,
            response: if is_error {
                Response::Error(text)
            } else {
                Response::Output(text)
            },
        };
        self.results
            .push((place, Part::Result { function_response }));
        let images = parts
            .iter()
            .filter(|part| matches!(part, ItemPart::Image { .. }));
        self.said.extend(images.filter_map(part));
    }

    fn add_from_model(&mut self, item: &'a Item, provenance: &Provenance) {
        let part = match &item.native {
            Some(native) if native.provenance == *provenance => {
                Some(Part::Native(native.json.as_raw()))
            }
            _ => self.neutral(&item.content),
        };
        let Some(part) = part else { return };
        self.close_user_turn();
        match self.contents.last_mut() {
            Some(content) if content.role == Role::Model => content.parts.push(part),
            _ => self.contents.push(Content {
                role: Role::Model,
                parts: vec![part],
                first_item: self.index,
            }),
        }
    }

    fn neutral(&self, content: &'a ItemContent) -> Option<Part<'a>> {
        match content {
            ItemContent::Text { text } if !text.trim().is_empty() => Some(Part::Text { text }),
            ItemContent::ToolCall(call) => Some(self.foreign_call(call)),
            _ => None,
        }
    }

    fn foreign_call(&self, call: &'a ToolCall) -> Part<'a> {
        let function_call = Call {
            id: on_the_wire(&call.call_id),
            name: &call.name,
            args: arguments::object(&call.arguments),
        };
        Part::Call {
            function_call,
            thought_signature: self.step_begins().then_some(FOREIGN_SIGNATURE),
        }
    }

    fn step_begins(&self) -> bool {
        let answered = !self.results.is_empty() || !self.said.is_empty();
        let last = self
            .contents
            .last()
            .and_then(|content| content.parts.last());
        answered || !matches!(last, Some(Part::Call { .. }))
    }

    /// The API wants a turn's results in one content, and before anything the user says.
    fn close_user_turn(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by_key(|(place, _)| *place);
        let results = results.into_iter().map(|(_, part)| part).collect();
        let first_item = self.turn_begins.take().unwrap_or(self.index);
        for parts in [results, std::mem::take(&mut self.said)] {
            if !parts.is_empty() {
                self.contents.push(Content {
                    role: Role::User,
                    parts,
                    first_item,
                });
            }
        }
    }

    /// Only the last turn may still go on.
    fn finish(mut self) -> Messages<Content<'a>> {
        self.close_user_turn();
        let last = self.contents.last().map(|content| content.first_item);
        let is_earlier = |content: &Content<'_>| Some(content.first_item) != last;
        Messages {
            unchanging: self
                .contents
                .iter()
                .filter(|content| is_earlier(content))
                .count(),
            all: self.contents,
        }
    }
}

impl written::Message for Content<'_> {
    fn first_item(&self) -> usize {
        self.first_item
    }
}

fn part(part: &ItemPart) -> Option<Part<'_>> {
    match part {
        ItemPart::Text { text } if text.trim().is_empty() => None,
        ItemPart::Text { text } => Some(Part::Text { text }),
        ItemPart::Image { media_type, data } => Some(Part::Image {
            inline_data: Image {
                mime_type: media_type,
                data,
            },
        }),
    }
}

//! The conversation as the API's messages: what the model said goes back as it came.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::{Content, Item, Part, Provenance, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arguments;
use crate::call_ids::on_the_wire;
use crate::written::{self, Messages};

/// One message. The keys of an assistant's come in the order in which a model speaks.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    /// Which of the items it begins with.
    #[serde(skip)]
    first_item: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Call<'a> {
    Native(&'a RawValue),
    Ours {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        function: Function<'a>,
    },
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Box<RawValue>,
}

/// The system prompt as a message.
pub(super) fn system(text: &str) -> Option<Message<'_>> {
    (!text.trim().is_empty()).then(|| Message::new(Role::System, text.into()))
}

/// The messages for the items of a conversation from `from` on. Native JSON and thinking are used
/// where they came from `provenance`; elsewhere the neutral view, without thinking.
pub(super) fn messages<'a>(
    items: &'a [Arc<Item>],
    from: usize,
    provenance: &Provenance,
) -> Messages<Message<'a>> {
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
    // Only the last one may still go on.
    Messages {
        unchanging: builder.messages.len().saturating_sub(1),
        all: builder.messages,
    }
}

#[derive(Default)]
struct Builder<'a> {
    /// The item that is being added.
    index: usize,
    messages: Vec<Message<'a>>,
    /// The names of the calls so far, which results repeat.
    names: HashMap<&'a str, &'a str>,
}

impl<'a> Builder<'a> {
    fn remember_call(&mut self, item: &'a Item) {
        if let Content::ToolCall(call) = &item.content {
            self.names.insert(&call.call_id, &call.name);
        }
    }

    fn add(&mut self, item: &'a Item, provenance: &Provenance) {
        let is_native = item
            .native
            .as_ref()
            .is_some_and(|native| native.provenance == *provenance);
        match &item.content {
            Content::User { parts } => self.add_user(parts),
            Content::ToolResult { call_id, parts, .. } => self.add_result(call_id, parts),
            Content::Reasoning { text } if is_native => self.add_thinking(text),
            Content::Text { text } if !text.is_empty() => self.add_text(text),
            Content::ToolCall(call) => {
                let native = item.native.as_ref().filter(|_| is_native);
                self.add_call(call, native.map(|native| native.json.as_raw()));
            }
            Content::Text { .. } | Content::Reasoning { .. } | Content::Opaque => {}
        }
    }

    fn add_user(&mut self, parts: &'a [Part]) {
        let message = Message {
            images: images(parts),
            ..Message::new(Role::User, joined_text(parts).into())
        };
        if !message.content.trim().is_empty() || !message.images.is_empty() {
            self.push(message);
        }
    }

    fn add_result(&mut self, call_id: &'a str, parts: &'a [Part]) {
        self.push(Message {
            tool_name: self.names.get(call_id).copied(),
            tool_call_id: on_the_wire(call_id),
            images: images(parts),
            ..Message::new(Role::Tool, joined_text(parts).into())
        });
    }

    fn add_thinking(&mut self, text: &'a str) {
        let begun = |message: &Message<'_>| message.thinking.is_some() || message.has_words();
        self.assistant(begun).thinking = Some(text);
    }

    fn add_text(&mut self, text: &'a str) {
        self.assistant(Message::has_words).content = text.into();
    }

    fn add_call(&mut self, call: &'a ToolCall, native: Option<&'a RawValue>) {
        let call = match native {
            Some(native) => Call::Native(native),
            None => Call::Ours {
                id: on_the_wire(&call.call_id),
                function: Function {
                    name: &call.name,
                    arguments: arguments::object(&call.arguments),
                },
            },
        };
        self.assistant(|_| false).tool_calls.push(call);
    }

    /// The assistant's message that goes on, or a new one if `is_full` says that it cannot.
    fn assistant(&mut self, is_full: impl Fn(&Message<'a>) -> bool) -> &mut Message<'a> {
        let goes_on = |last: &Message<'a>| last.role == Role::Assistant && !is_full(last);
        if !self.messages.last().is_some_and(goes_on) {
            self.push(Message::new(Role::Assistant, "".into()));
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    fn push(&mut self, mut message: Message<'a>) {
        message.first_item = self.index;
        self.messages.push(message);
    }
}

impl<'a> Message<'a> {
    fn new(role: Role, content: Cow<'a, str>) -> Self {
        Self {
            role,
            tool_name: None,
            tool_call_id: None,
            thinking: None,
            content,
            images: Vec::new(),
            tool_calls: Vec::new(),
            first_item: 0,
        }
    }

    /// Whether it says or calls something, after which nothing can be put before that.
    fn has_words(&self) -> bool {
        !self.content.is_empty() || !self.tool_calls.is_empty()
    }
}

impl written::Message for Message<'_> {
    fn first_item(&self) -> usize {
        self.first_item
    }
}

fn images(parts: &[Part]) -> Vec<&str> {
    let images = parts.iter().filter_map(|part| match part {
        Part::Image { data, .. } => Some(data.as_str()),
        Part::Text { .. } => None,
    });
    images.collect()
}

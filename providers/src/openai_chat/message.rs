//! The conversation as the API's messages: what the model said goes back as it came.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::{Content as ItemContent, Item, Part as ItemPart, Provenance, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use super::quirks::{CallIdForm, ChatQuirks};
use super::reasoning::NativeReasoning;
use crate::arguments;
use crate::call_ids::{in_characters, in_nine_characters};
use crate::written::{self, Messages};

/// The longest id of a tool call that the API takes.
const MAX_ID_CHARS: usize = 40;
/// What stands for an image where none may be sent.
const NO_IMAGE: &str = "[an image, which this model cannot see]";
/// What a message says before the images of results, which can hold none themselves.
const IMAGES_OF_RESULTS: &str = "The images of the results above:";

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: Role,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
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
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl },
    Thinking { thinking: &'a RawValue },
}

#[derive(Debug, Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Raw<'a> {
    Native(&'a RawValue),
    Empty(&'static str),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Call<'a> {
    Native(&'a RawValue),
    Ours {
        id: Cow<'a, str>,
        #[serde(rename = "type")]
        kind: &'static str,
        function: Function<'a>,
    },
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Box<str>,
}

/// The system prompt as a message.
pub(super) fn system(text: &str) -> Option<Message<'_>> {
    (!text.trim().is_empty()).then(|| Message::new(Role::System, Some(text.into()), 0))
}

/// The messages for the items of a conversation from `from` on. Native JSON is used where it came
/// from `provenance`; elsewhere the neutral view, without reasoning.
pub(super) fn messages<'a>(
    items: &'a [Arc<Item>],
    from: usize,
    provenance: &'a Provenance,
    quirks: ChatQuirks,
) -> Messages<Message<'a>> {
    let mut builder = Builder {
        provenance,
        quirks,
        index: 0,
        messages: Vec::new(),
        ids: HashMap::new(),
        images: Vec::new(),
        images_from: 0,
    };
    let (written, new) = items.split_at(from);
    for item in written {
        builder.remember_call(item);
    }
    for (index, item) in new.iter().enumerate() {
        builder.index = index;
        builder.add(item);
    }
    builder.finish()
}

struct Builder<'a> {
    provenance: &'a Provenance,
    quirks: ChatQuirks,
    /// The item that is being added.
    index: usize,
    messages: Vec<Message<'a>>,
    /// The ids of the calls so far, as the service knows them.
    ids: HashMap<&'a str, Cow<'a, str>>,
    /// The images of the results since the model last spoke.
    images: Vec<Part<'a>>,
    /// The first item with such an image.
    images_from: usize,
}

impl<'a> Builder<'a> {
    fn add(&mut self, item: &'a Item) {
        if !matches!(item.content, ItemContent::ToolResult { .. }) {
            self.add_images_of_results();
        }
        self.remember_call(item);
        match &item.content {
            ItemContent::User { parts } => self.add_user(self.parts(parts)),
            ItemContent::ToolResult { call_id, parts, .. } => self.add_result(call_id, parts),
            ItemContent::Reasoning { .. } => self.add_reasoning(item),
            ItemContent::Text { text } if !text.is_empty() => self.add_text(text),
            ItemContent::ToolCall(call) => self.add_call(call, item),
            ItemContent::Text { .. } | ItemContent::Opaque => {}
        }
    }

    fn remember_call(&mut self, item: &'a Item) {
        let ItemContent::ToolCall(call) = &item.content else {
            return;
        };
        let id = match (self.native(item), self.quirks.call_ids) {
            (Some(_), _) => call.call_id.as_str().into(),
            (None, CallIdForm::Any) => in_characters(&call.call_id, MAX_ID_CHARS),
            (None, CallIdForm::NineCharacters) => in_nine_characters(&call.call_id),
        };
        self.ids.insert(&call.call_id, id);
    }

    fn native(&self, item: &'a Item) -> Option<&'a RawValue> {
        let native = item.native.as_ref()?;
        (native.provenance == *self.provenance).then(|| native.json.as_raw())
    }

    /// Some models' templates want the roles to alternate, so what follows is joined.
    fn add_user(&mut self, parts: Vec<Part<'a>>) {
        match (self.messages.last_mut(), parts.is_empty()) {
            (_, true) => {}
            (Some(last), _) if last.role == Role::User => last.append(parts),
            _ => self.push(Role::User, Content::of(parts)),
        }
    }

    fn add_result(&mut self, call_id: &'a str, parts: &'a [ItemPart]) {
        let Some(id) = self.ids.get(call_id).cloned() else {
            // The API refuses a result without its call, but the words need not be lost.
            self.add_user(self.parts(parts));
            return;
        };
        let is_image = |part: &&ItemPart| matches!(part, ItemPart::Image { .. });
        let images = parts.iter().filter(is_image).map(|image| self.part(image));
        let images: Vec<Part<'a>> = images.collect();
        if self.images.is_empty() {
            self.images_from = self.index;
        }
        self.images.extend(images);
        let text = joined_text(parts).into();
        self.push(Role::Tool, Some(Content::Text(text)));
        if let Some(message) = self.messages.last_mut() {
            message.tool_call_id = Some(id);
        }
    }

    fn add_images_of_results(&mut self) {
        let mut images = std::mem::take(&mut self.images);
        if !images.is_empty() {
            let text = IMAGES_OF_RESULTS.into();
            images.insert(0, Part::Text { text });
            self.add_user(images);
            if let Some(message) = self.messages.last_mut() {
                message.first_item = self.images_from;
            }
        }
    }

    fn add_reasoning(&mut self, item: &'a Item) {
        let native = self.native(item).map(RawValue::get);
        let Some(Ok(native)) = native.map(serde_json::from_str::<NativeReasoning<'_>>) else {
            return;
        };
        let message = self.assistant(|message| message.has_reasoning() || message.has_words());
        message.reasoning_content = native.reasoning_content.map(Raw::Native);
        message.reasoning = native.reasoning;
        message.reasoning_details = native.reasoning_details;
        message.content = match (native.thinking, native.inline) {
            (Some(thinking), _) => Some(Content::Parts(vec![Part::Thinking { thinking }])),
            (None, Some(inline)) => Some(Content::Text(inline.into())),
            (None, None) => None,
        };
    }

    fn add_text(&mut self, text: &'a str) {
        // Text after calls belongs to the same message: results must follow a message's calls at once.
        let message = self.assistant(|_| false);
        match &mut message.content {
            None => message.content = Some(Content::Text(text.into())),
            Some(Content::Text(before)) => before.to_mut().push_str(text),
            Some(Content::Parts(parts)) => parts.push(Part::Text { text: text.into() }),
        }
    }

    fn add_call(&mut self, call: &'a ToolCall, item: &'a Item) {
        let arguments = arguments::object(&call.arguments);
        // Arguments that are no object would break the templates of many models.
        let is_whole = arguments.get() == call.arguments.trim();
        let native = self.native(item).filter(|_| is_whole);
        let id = self.ids.get(call.call_id.as_str()).cloned();
        let call = native.map_or_else(
            || Call::Ours {
                id: id.unwrap_or_default(),
                kind: "function",
                function: Function {
                    name: &call.name,
                    arguments: arguments.get().into(),
                },
            },
            Call::Native,
        );
        let needs_reasoning = self.quirks.needs_reasoning;
        let message = self.assistant(|_| false);
        message.tool_calls.push(call);
        if needs_reasoning && message.reasoning_content.is_none() {
            message.reasoning_content = Some(Raw::Empty(""));
        }
    }

    /// The assistant's message that goes on, or a new one if `is_full` says that it cannot.
    fn assistant(&mut self, is_full: impl Fn(&Message<'a>) -> bool) -> &mut Message<'a> {
        let goes_on = |last: &Message<'a>| last.role == Role::Assistant && !is_full(last);
        if !self.messages.last().is_some_and(goes_on) {
            self.push(Role::Assistant, None);
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    fn parts(&self, parts: &'a [ItemPart]) -> Vec<Part<'a>> {
        let is_empty =
            |part: &ItemPart| matches!(part, ItemPart::Text { text } if text.trim().is_empty());
        let parts = parts.iter().filter(|part| !is_empty(part));
        parts.map(|part| self.part(part)).collect()
    }

    fn part(&self, part: &'a ItemPart) -> Part<'a> {
        match part {
            ItemPart::Text { text } => Part::Text { text: text.into() },
            ItemPart::Image { .. } if self.quirks.no_images => Part::Text {
                text: NO_IMAGE.into(),
            },
            ItemPart::Image { media_type, data } => Part::ImageUrl {
                image_url: ImageUrl {
                    url: format!("data:{media_type};base64,{data}"),
                },
            },
        }
    }

    fn push(&mut self, role: Role, content: Option<Content<'a>>) {
        self.messages.push(Message::new(role, content, self.index));
    }

    /// Only the last message may still go on, and with it the results whose images it shows.
    fn finish(mut self) -> Messages<Message<'a>> {
        self.add_images_of_results();
        // The API refuses a message that only thinks, as a reply that was cut off leaves it.
        self.messages.retain(|message| !message.only_thinks());
        let last = self.messages.last().map(|message| message.first_item);
        let is_earlier = |message: &&Message<'_>| Some(message.first_item) < last;
        Messages {
            unchanging: self.messages.iter().take_while(is_earlier).count(),
            all: self.messages,
        }
    }
}

impl<'a> Message<'a> {
    fn new(role: Role, content: Option<Content<'a>>, first_item: usize) -> Self {
        Self {
            role,
            content,
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            first_item,
        }
    }

    fn only_thinks(&self) -> bool {
        self.role == Role::Assistant && self.content.is_none() && self.tool_calls.is_empty()
    }

    fn has_words(&self) -> bool {
        self.content.is_some() || !self.tool_calls.is_empty()
    }

    fn has_reasoning(&self) -> bool {
        self.reasoning_content.is_some()
            || self.reasoning.is_some()
            || self.reasoning_details.is_some()
    }

    fn append(&mut self, parts: Vec<Part<'a>>) {
        let before = match self.content.take() {
            Some(Content::Text(text)) => vec![Part::Text { text }],
            Some(Content::Parts(parts)) => parts,
            None => Vec::new(),
        };
        self.content = Content::of(before.into_iter().chain(parts).collect());
    }
}

impl written::Message for Message<'_> {
    fn first_item(&self) -> usize {
        self.first_item
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> Content<'a> {
    /// A single text needs no list, which not all services take.
    fn of(mut parts: Vec<Part<'a>>) -> Option<Self> {
        match parts.pop()? {
            Part::Text { text } if parts.is_empty() => Some(Self::Text(text)),
            last => {
                parts.push(last);
                Some(Self::Parts(parts))
            }
        }
    }
}

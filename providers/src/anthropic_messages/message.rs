//! The conversation as the API's messages: what the model said goes back as it came.

use std::borrow::Cow;
use std::sync::Arc;

use pullwright_protocol::{Content, Item, Part, Provenance, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::arguments;
use crate::written::{self, Messages};

/// The type of the block that stands for an earlier conversation.
pub(super) const COMPACTION_BLOCK: &str = "compaction";

/// How many messages of the user end in a marker.
const MARKED_MESSAGES: usize = 2;

/// Asks the API to remember everything up to here.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl CacheControl {
    pub(super) const EPHEMERAL: Self = Self { kind: "ephemeral" };
}

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: Role,
    content: Vec<Block<'a>>,
    /// Which of the items it begins with.
    #[serde(skip)]
    first_item: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Native(&'a RawValue),
    Ours(OurBlock<'a>),
}

/// The marker is written out for every kind of block: serde's `flatten`, which would say it once, was
/// a large part of the time that a long conversation takes.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OurBlock<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: ImageSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<OurBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

#[derive(Debug, Serialize)]
struct ImageSource<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

/// The messages for `items`. Native JSON is used where it came from `provenance`; elsewhere the
/// neutral view, without reasoning. Those before the markers do not change when it grows.
pub(super) fn messages<'a>(
    items: &'a [Arc<Item>],
    provenance: &Provenance,
) -> Messages<Message<'a>> {
    let mut messages: Vec<Message<'a>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let role = if item.is_from_model() {
            Role::Assistant
        } else {
            Role::User
        };
        for block in blocks(item, provenance) {
            match messages.last_mut() {
                Some(message) if message.role == role => message.content.push(block),
                _ => messages.push(Message {
                    role,
                    content: vec![block],
                    first_item: index,
                }),
            }
        }
    }
    messages.iter_mut().for_each(Message::put_results_first);
    let unchanging = mark_for_cache(&mut messages);
    Messages {
        all: messages,
        unchanging,
    }
}

/// Whether the conversation begins with what the API itself made of an earlier one.
pub(super) fn is_compacted(items: &[Arc<Item>], provenance: &Provenance) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let first = items.first().and_then(|item| item.native.as_ref());
    let native = first.filter(|native| native.provenance == *provenance);
    native.is_some_and(|native| {
        let typed = serde_json::from_str::<Typed<'_>>(native.json.as_str());
        typed.is_ok_and(|typed| typed.kind == COMPACTION_BLOCK)
    })
}

/// Marks the end of the conversation, and the end of the previous request's, where the API looks
/// for what it remembers. Answers how many messages come before the marked ones.
fn mark_for_cache(messages: &mut [Message<'_>]) -> usize {
    let from_user = messages
        .iter_mut()
        .enumerate()
        .rev()
        .filter(|(_, message)| message.role == Role::User);
    let mut marked = 0;
    let mut first = 0;
    for (index, message) in from_user.take(MARKED_MESSAGES) {
        if let Some(Block::Ours(last)) = message.content.last_mut() {
            *last.cache_control() = Some(CacheControl::EPHEMERAL);
        }
        marked += 1;
        first = index;
    }
    if marked < MARKED_MESSAGES { 0 } else { first }
}

impl written::Message for Message<'_> {
    fn first_item(&self) -> usize {
        self.first_item
    }
}

impl Message<'_> {
    /// The API wants a turn's results before anything the user says.
    fn put_results_first(&mut self) {
        self.content.sort_by_key(|block| !block.is_result());
    }
}

impl Block<'_> {
    fn is_result(&self) -> bool {
        matches!(self, Self::Ours(OurBlock::ToolResult { .. }))
    }
}

impl OurBlock<'_> {
    fn cache_control(&mut self) -> &mut Option<CacheControl> {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => cache_control,
        }
    }
}

fn blocks<'a>(item: &'a Item, provenance: &Provenance) -> Vec<Block<'a>> {
    // The API refuses empty text, even its own.
    if matches!(&item.content, Content::Text { text } if text.trim().is_empty()) {
        return Vec::new();
    }
    match &item.native {
        Some(native) if native.provenance == *provenance => {
            vec![Block::Native(native.json.as_raw())]
        }
        _ => neutral(&item.content)
            .into_iter()
            .map(Block::Ours)
            .collect(),
    }
}

fn neutral(content: &Content) -> Vec<OurBlock<'_>> {
    match content {
        Content::User { parts } => parts.iter().filter_map(part).collect(),
        Content::Text { text } => vec![our_text(text)],
        Content::ToolCall(call) => vec![tool_use(call)],
        Content::ToolResult {
            call_id,
            parts,
            is_error,
        } => vec![OurBlock::ToolResult {
            tool_use_id: wire_id(call_id),
            content: parts.iter().filter_map(part).collect(),
            is_error: *is_error,
            cache_control: None,
        }],
        Content::Reasoning { .. } | Content::Opaque => Vec::new(),
    }
}

fn part(part: &Part) -> Option<OurBlock<'_>> {
    match part {
        Part::Text { text } if text.trim().is_empty() => None,
        Part::Text { text } => Some(our_text(text)),
        Part::Image { media_type, data } => Some(OurBlock::Image {
            source: ImageSource {
                kind: "base64",
                media_type,
                data,
            },
            cache_control: None,
        }),
    }
}

fn our_text(text: &str) -> OurBlock<'_> {
    OurBlock::Text {
        text,
        cache_control: None,
    }
}

fn tool_use(call: &ToolCall) -> OurBlock<'_> {
    OurBlock::ToolUse {
        id: wire_id(&call.call_id),
        name: &call.name,
        input: arguments::object(&call.arguments),
        cache_control: None,
    }
}

/// Ids of other providers may hold characters that this API refuses.
fn wire_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(fits) {
        return id.into();
    }
    let replaced: String = id.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    format!("call_{replaced}").into()
}

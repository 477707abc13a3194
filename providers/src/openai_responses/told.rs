//! What tells one item of a response from another.

use pullwright_protocol::{Content, Item};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::OutputItem;
use super::output::content;
use crate::lenient::or_absent;

/// The kind that both kinds of calls of our tools count as.
const CALL: &str = "function_call";
const FREEFORM_CALL: &str = "custom_tool_call";

/// What names an item.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Identity {
    #[serde(rename = "type", default, deserialize_with = "or_absent")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    id: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    call_id: Option<String>,
}

/// A name of an item that is no other's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// A call and its result share one.
    Call { kind: String, call_id: String },
    /// A service may give items of several kinds the same one.
    Item { kind: String, id: String },
}

/// An item, as far as it is compared.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) place: u64,
    pub(super) kind: String,
    pub(super) said: Said,
}

/// What an item says, however it is written.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// Text without its spaces.
    Words(String),
    Call {
        name: String,
        arguments: Value,
    },
    /// Items that say nothing are not the same for that.
    Nothing,
}

impl Identity {
    pub(super) fn of(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    pub(super) fn of_item(item: &Item) -> Self {
        let native = item.native.as_ref();
        native.map_or_else(Self::default, |native| Self::of(native.json.as_raw()))
    }

    /// The surest one first.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        let kind = || self.kind();
        let call_id = self.call_id.clone().filter(|id| !id.is_empty());
        let id = self.id.clone().filter(|id| !id.is_empty());
        let call = call_id.map(|call_id| Name::Call {
            kind: kind(),
            call_id,
        });
        let item = id.map(|id| Name::Item { kind: kind(), id });
        call.into_iter().chain(item)
    }

    fn kind(&self) -> String {
        match self.kind.as_deref().unwrap_or_default() {
            FREEFORM_CALL => CALL.to_owned(),
            kind => kind.to_owned(),
        }
    }
}

impl Told {
    pub(super) fn streamed(place: u64, item: &Item) -> Self {
        Self {
            place,
            kind: Identity::of_item(item).kind(),
            said: Said::of(&item.content),
        }
    }

    pub(super) fn at_the_end(place: u64, raw: &RawValue, identity: Identity) -> Self {
        let item = serde_json::from_str::<OutputItem>(raw.get());
        Self {
            place,
            kind: identity.kind(),
            said: item.map_or(Said::Nothing, |item| Said::of(&content(item))),
        }
    }

    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.is_alike(other) && self.said != Said::Nothing && self.said == other.said
    }

    /// Whether what one of them says is a part of what the other one says.
    pub(super) fn shares_words(&self, other: &Self) -> bool {
        match (&self.said, &other.said) {
            (Said::Words(ours), Said::Words(theirs)) => {
                self.is_alike(other) && (ours.contains(theirs) || theirs.contains(ours))
            }
            _ => false,
        }
    }

    pub(super) fn is_alike_in_the_same_place(&self, other: &Self) -> bool {
        self.is_alike(other) && self.place == other.place
    }

    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Said {
    fn of(content: &Content) -> Self {
        match content {
            Content::Text { text } | Content::Reasoning { text } => {
                let words = without_spaces(text);
                if words.is_empty() {
                    return Self::Nothing;
                }
                Self::Words(words)
            }
            Content::ToolCall(call) => Self::Call {
                name: call.name.clone(),
                arguments: serde_json::from_str(&call.arguments)
                    .unwrap_or_else(|_| without_spaces(&call.arguments).into()),
            },
            _ => Self::Nothing,
        }
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

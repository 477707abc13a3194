//! Ids for tool calls of APIs that may leave them out.

use std::borrow::Cow;
use std::sync::Arc;

use pullwright_protocol::{Content, Item};

use crate::hash::fnv1a;

/// What our ids start with: the loop needs ids, but an API that gave none must not see one.
const PREFIX: &str = "unnamed_call_";

/// Gives ids that no call of the conversation has.
#[derive(Clone, Debug)]
pub(crate) struct CallIds {
    next: u64,
}

impl CallIds {
    /// Ids that follow those in `items`, compacted or not.
    pub(crate) fn after(items: &[Arc<Item>]) -> Self {
        let used = items.iter().filter_map(|item| match &item.content {
            Content::ToolCall(call) => call.call_id.strip_prefix(PREFIX)?.parse::<u64>().ok(),
            _ => None,
        });
        Self {
            next: used.max().map_or(0, |last| last.saturating_add(1)),
        }
    }

    /// The API's id, or one of ours.
    pub(crate) fn id(&mut self, given: Option<String>) -> String {
        if let Some(id) = given.filter(|id| !id.is_empty()) {
            return id;
        }
        let id = format!("{PREFIX}{}", self.next);
        self.next = self.next.saturating_add(1);
        id
    }
}

/// The id as the API knows it, if it does.
pub(crate) fn on_the_wire(id: &str) -> Option<&str> {
    (!id.starts_with(PREFIX)).then_some(id)
}

/// The id in nine letters and digits, for an API that takes no other.
pub(crate) fn in_nine_characters(id: &str) -> Cow<'_, str> {
    const LENGTH: usize = 9;
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.into();
    }
    let mut rest = fnv1a([id.as_bytes()]);
    let digits = (0..LENGTH).map(|_| {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        rest /= 62;
        char::from(DIGITS[digit])
    });
    digits.collect()
}

/// The id, or a short name for one that is longer than an API takes.
pub(crate) fn in_characters(id: &str, most: usize) -> Cow<'_, str> {
    if id.len() <= most {
        return id.into();
    }
    format!("call_{:016x}", fnv1a([id.as_bytes()])).into()
}

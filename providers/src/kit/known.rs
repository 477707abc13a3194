//! What is known of conversations from their last request.
//!
//! Conversations only grow, and each request holds all of it. Items that came before, byte for byte,
//! are not read again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Item, ToolSpec};
use serde::Deserialize;
use serde_json::value::RawValue;

/// How many conversations are remembered: as many as are likely to be under way.
const CONVERSATIONS: usize = 64;

/// A larger conversation is not remembered, so that memory has a bound: in bytes of its items.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A [`StreamRequest`] whose items are not read yet.
#[derive(Deserialize)]
pub(super) struct UnreadRequest<'a> {
    system: String,
    tools: Vec<ToolSpec>,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(default)]
    compact: bool,
}

/// The conversations remembered, the latest first.
#[derive(Default)]
pub(super) struct Known {
    conversations: Mutex<VecDeque<Vec<KnownItem>>>,
}

struct KnownItem {
    json: Box<RawValue>,
    item: Arc<Item>,
}

impl Known {
    /// Reads what is new in `request`.
    pub(super) fn read(&self, request: UnreadRequest<'_>) -> serde_json::Result<StreamRequest> {
        let mut known = self.take(&request.items);
        for json in &request.items[known.len()..] {
            known.push(KnownItem {
                item: serde_json::from_str(json.get())?,
                json: (*json).to_owned(),
            });
        }
        let items = known.iter().map(|known| Arc::clone(&known.item)).collect();
        self.keep(known);
        Ok(StreamRequest {
            system: request.system,
            tools: request.tools,
            items,
            max_output_tokens: request.max_output_tokens,
            compact: request.compact,
        })
    }

    /// Takes out the conversation that `items` continue, as far as it is the same.
    fn take(&self, items: &[&RawValue]) -> Vec<KnownItem> {
        let mut conversations = self.lock();
        let begins_alike = |known: &Vec<KnownItem>| common(known, items) > 0;
        let found = conversations.iter().position(begins_alike);
        let found = found.and_then(|index| conversations.remove(index));
        drop(conversations);
        let mut known = found.unwrap_or_default();
        known.truncate(common(&known, items));
        known
    }

    fn keep(&self, known: Vec<KnownItem>) {
        let bytes: usize = known.iter().map(|known| known.json.get().len()).sum();
        if bytes > MAX_BYTES {
            return;
        }
        let mut conversations = self.lock();
        conversations.push_front(known);
        conversations.truncate(CONVERSATIONS);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<KnownItem>>> {
        let conversations = self.conversations.lock();
        conversations.unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many items both begin with.
fn common(known: &[KnownItem], items: &[&RawValue]) -> usize {
    let pairs = known.iter().zip(items);
    let same = pairs.take_while(|(known, json)| known.json.get() == json.get());
    same.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(known: &Known, texts: &[&str]) -> Vec<Arc<Item>> {
        let request = StreamRequest {
            system: String::new(),
            tools: Vec::new(),
            items: texts
                .iter()
                .map(|text| Arc::new(Item::user(*text)))
                .collect(),
            max_output_tokens: None,
            compact: true,
        };
        let json = serde_json::to_string(&request).unwrap();
        let read = known.read(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(read, request);
        read.items
    }

    #[test]
    fn whatever_came_before_a_request_is_read_as_it_is() {
        let known = Known::default();
        read(&known, &["a", "b"]);
        read(&known, &["a", "b", "c", "d"]);
        read(&known, &["a", "x", "c"]);
        read(&known, &["a"]);
        read(&known, &["b", "a"]);
        read(&known, &[]);
        assert_eq!(read(&known, &["a", "b"]).len(), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Known::default();
        for n in 0..2 * CONVERSATIONS {
            read(&known, &[&n.to_string()]);
        }
        read(&known, &[&"x".repeat(MAX_BYTES)]);
        assert_eq!(known.lock().len(), CONVERSATIONS);
    }

    #[test]
    fn an_item_that_is_none_is_an_error() {
        let json = r#"{"system": "", "tools": [], "items": [{"content": 1}]}"#;
        let request = serde_json::from_str(json).unwrap();
        assert!(Known::default().read(request).is_err());
    }
}

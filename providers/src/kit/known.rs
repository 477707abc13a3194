//! What is known of conversations from their last request.
//!
//! Conversations only grow, and each request holds all of it. Items that came before, byte for byte,
//! are not read again.

use std::sync::Arc;

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Item, ToolSpec};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lately::Lately;

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

/// The conversations remembered.
#[derive(Default)]
pub(super) struct Known {
    conversations: Lately<Vec<KnownItem>>,
}

#[derive(Clone)]
struct KnownItem {
    json: Arc<RawValue>,
    item: Arc<Item>,
}

impl Known {
    /// Reads what is new in `request`.
    pub(super) fn read(&self, request: UnreadRequest<'_>) -> serde_json::Result<StreamRequest> {
        let mut known = self.take(&request.items);
        for json in &request.items[known.len()..] {
            known.push(KnownItem {
                item: serde_json::from_str(json.get())?,
                json: (*json).to_owned().into(),
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

    /// Takes out the conversation that `items` continue. Of one that only begins like them, as another of
    /// the same task does, the beginning is shared.
    fn take(&self, items: &[&RawValue]) -> Vec<KnownItem> {
        let continued = self.conversations.take_best(|known| {
            let is_whole = common(known, items) == known.len();
            is_whole.then_some(known.len())
        });
        let begun =
            |known: &Vec<KnownItem>| Some(common(known, items)).filter(|common| *common > 0);
        let shared = |known: &Vec<KnownItem>| known[..common(known, items)].to_vec();
        continued
            .or_else(|| self.conversations.view_best(begun, shared))
            .unwrap_or_default()
    }

    fn keep(&self, known: Vec<KnownItem>) {
        let bytes = known.iter().map(|known| known.json.get().len()).sum();
        if !known.is_empty() {
            self.conversations.keep(bytes, known);
        }
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

    /// How many items of `after` are the very ones of `before`, and were not read again.
    fn shared(before: &[Arc<Item>], after: &[Arc<Item>]) -> usize {
        let pairs = before.iter().zip(after);
        pairs.filter(|(a, b)| Arc::ptr_eq(a, b)).count()
    }

    #[test]
    fn a_large_conversation_is_not_read_again_either() {
        let known = Known::default();
        let image = "x".repeat(1024 * 1024);
        let mut texts = vec![image.as_str(); 8];
        let before = read(&known, &texts);
        texts.push("more");
        assert_eq!(shared(&before, &read(&known, &texts)), 8);
    }

    #[test]
    fn conversations_of_the_same_task_do_not_push_each_other_out() {
        let known = Known::default();
        let (mut one, mut other) = (vec!["task"], vec!["task"]);
        for turn in ["1", "2", "3"] {
            let last = (read(&known, &one), read(&known, &other));
            one.extend(["one", turn]);
            other.extend(["other", turn]);
            let next = (read(&known, &one), read(&known, &other));
            assert_eq!(shared(&last.0, &next.0), last.0.len());
            assert_eq!(shared(&last.1, &next.1), last.1.len());
        }
    }

    #[test]
    fn an_item_that_is_none_is_an_error() {
        let json = r#"{"system": "", "tools": [], "items": [{"content": 1}]}"#;
        let request = serde_json::from_str(json).unwrap();
        assert!(Known::default().read(request).is_err());
    }
}

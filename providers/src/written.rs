//! Requests whose conversation is the last key of their body, so that each starts with the bytes of
//! the one before. A message that does not change any more is written once, however often it is sent.

use std::sync::Arc;

use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{FailureKind, Item};
use serde::Serialize;

use crate::lately::Lately;

/// What an item has besides its own JSON: about as many bytes.
const ITEM_BYTES: usize = 256;

/// The beginnings of conversations.
#[derive(Debug, Default)]
pub(crate) struct Written {
    beginnings: Lately<Beginning>,
}

/// The conversation's place in the body of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a, O> {
    /// The key of its list.
    pub(crate) key: &'a str,
    /// What the list starts with before any item, such as a system prompt.
    pub(crate) opening: Option<O>,
}

/// The messages of the items that are not written yet.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    /// In order.
    pub(crate) all: Vec<M>,
    /// How many of them do not change any more when the conversation grows.
    pub(crate) unchanging: usize,
}

/// One message of a conversation.
pub(crate) trait Message: Serialize {
    /// The first item that is in it, counted from the first that was not written yet.
    fn first_item(&self) -> usize;
}

/// The beginning of a conversation, as far as its messages do not change any more.
#[derive(Debug, Default)]
struct Beginning {
    /// What it was written from.
    items: Vec<Arc<Item>>,
    /// Its messages, separated by commas.
    json: Vec<u8>,
}

impl Written {
    /// The body of a request: `head`, an object, and the conversation `items` as its last key.
    /// `messages` makes messages of the items from a given one on.
    ///
    /// # Errors
    /// When there is nothing to ask.
    pub(crate) fn body<M: Message>(
        &self,
        head: &impl Serialize,
        place: &Place<'_, impl Serialize>,
        items: &[Arc<Item>],
        messages: impl FnOnce(usize) -> Messages<M>,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut beginning = self.take(items);
        let messages = messages(beginning.items.len());
        if messages.all.is_empty() && beginning.json.is_empty() {
            return Err(invalid("the conversation is empty".to_owned()));
        }
        let body = beginning
            .extend(items, &messages)
            .and_then(|rest| beginning.body(head, place, items, rest));
        self.keep(beginning);
        body.map_err(|error| invalid(format!("the request is no JSON: {error}")))
    }

    /// Takes out the beginning of the conversation `items`; an empty one if nothing is known of it.
    fn take(&self, items: &[Arc<Item>]) -> Beginning {
        let begun = |known: &Beginning| known.begins(items).then_some(known.items.len());
        self.beginnings.take_best(begun).unwrap_or_default()
    }

    /// Remembers it for the next request.
    fn keep(&self, beginning: Beginning) {
        if !beginning.items.is_empty() {
            self.beginnings.keep(beginning.json.len(), beginning);
        }
    }
}

impl Beginning {
    /// Adds what does not change any more, and answers the rest.
    fn extend<'m, M: Message>(
        &mut self,
        items: &[Arc<Item>],
        messages: &'m Messages<M>,
    ) -> serde_json::Result<&'m [M]> {
        let (unchanging, rest) = messages.all.split_at(messages.unchanging);
        if let Some(first_that_changes) = rest.first() {
            write_list(&mut self.json, 0, unchanging)?;
            let known = self.items.len();
            let final_items = known..known + first_that_changes.first_item();
            self.items.extend_from_slice(&items[final_items]);
        }
        Ok(rest)
    }

    fn body(
        &self,
        head: &impl Serialize,
        place: &Place<'_, impl Serialize>,
        items: &[Arc<Item>],
        rest: &[impl Serialize],
    ) -> serde_json::Result<Vec<u8>> {
        let mut body = serde_json::to_vec(head)?;
        body.reserve(self.json.len() + estimated_bytes(&items[self.items.len()..]));
        // The list becomes the last key of the object.
        body.pop();
        if body.len() > 1 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, place.key)?;
        body.extend_from_slice(b":[");
        let start = body.len();
        write_list(&mut body, start, place.opening.as_slice())?;
        if body.len() > start && !self.json.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(&self.json);
        write_list(&mut body, start, rest)?;
        body.extend_from_slice(b"]}");
        Ok(body)
    }

    /// Whether `items` go on from here. Items are shared and never change, so the same place is the
    /// same item; an equal one elsewhere is merely written again.
    fn begins(&self, items: &[Arc<Item>]) -> bool {
        let pairs = self.items.iter().zip(items);
        self.items.len() <= items.len() && pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// Appends to a list that begins at `start`, with commas between.
fn write_list(
    json: &mut Vec<u8>,
    start: usize,
    messages: &[impl Serialize],
) -> serde_json::Result<()> {
    for message in messages {
        if json.len() > start {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, message)?;
    }
    Ok(())
}

/// About the size of the items, so that the buffer is made once and not doubled again and again.
fn estimated_bytes(items: &[Arc<Item>]) -> usize {
    let native = |item: &Arc<Item>| {
        let native = item.native.as_ref();
        native.map_or(0, |native| native.json.as_str().len()) + ITEM_BYTES
    };
    items.iter().map(native).sum()
}

fn invalid(message: String) -> ProviderError {
    ProviderError {
        kind: FailureKind::ProviderRequest,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_beginning_is_not_written_again_either() {
        let written = Written::default();
        let items = vec![Arc::new(Item::user("an image"))];
        written.keep(Beginning {
            items: items.clone(),
            json: vec![b' '; 8 * 1024 * 1024],
        });
        assert_eq!(written.take(&items).items.len(), 1);
    }
}

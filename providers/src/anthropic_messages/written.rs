//! What is written of conversations already: a message that does not change any more is written once,
//! however often it is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::Item;

/// How many conversations are remembered: as many as are likely to be under way.
const CONVERSATIONS: usize = 64;

/// A larger beginning is not remembered, so that memory has a bound: in bytes of its JSON.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The beginnings of conversations, the latest first.
#[derive(Debug, Default)]
pub(super) struct Written {
    beginnings: Mutex<VecDeque<Beginning>>,
}

/// The beginning of a conversation, as far as its messages do not change any more.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// What it was written from.
    pub(super) items: Vec<Arc<Item>>,
    /// Its messages, separated by commas.
    pub(super) json: Vec<u8>,
}

impl Written {
    /// Takes out the beginning of the conversation `items`; an empty one if nothing is known of it.
    pub(super) fn take(&self, items: &[Arc<Item>]) -> Beginning {
        let mut beginnings = self.lock();
        let found = beginnings.iter().position(|known| known.begins(items));
        found
            .and_then(|index| beginnings.remove(index))
            .unwrap_or_default()
    }

    /// Remembers it for the next request.
    pub(super) fn keep(&self, beginning: Beginning) {
        if beginning.items.is_empty() || beginning.json.len() > MAX_BYTES {
            return;
        }
        let mut beginnings = self.lock();
        beginnings.push_front(beginning);
        beginnings.truncate(CONVERSATIONS);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Beginning>> {
        let beginnings = self.beginnings.lock();
        beginnings.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beginning {
    /// Whether `items` go on from here. Items are shared and never change, so the same place is the
    /// same item; an equal one elsewhere is merely written again.
    fn begins(&self, items: &[Arc<Item>]) -> bool {
        let pairs = self.items.iter().zip(items);
        self.items.len() <= items.len() && pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let written = Written::default();
        for _ in 0..2 * CONVERSATIONS {
            written.keep(Beginning {
                items: vec![Arc::new(Item::user("a"))],
                json: Vec::new(),
            });
        }
        let large = vec![Arc::new(Item::user("b"))];
        written.keep(Beginning {
            items: large.clone(),
            json: vec![b' '; MAX_BYTES + 1],
        });
        assert_eq!(written.lock().len(), CONVERSATIONS);
        assert!(written.take(&large).items.is_empty());
    }
}

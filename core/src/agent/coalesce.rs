//! Joins small deltas into fewer events, so that the log grows by moments and not by tokens.

use std::time::{Duration, Instant};

use pullwright_protocol::Event;

/// How long a delta may wait for more before it is shown.
const MAX_WAIT: Duration = Duration::from_millis(40);

/// How many bytes are shown at the latest.
const MAX_BYTES: usize = 2048;

/// A kind of text that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Reasoning,
    Message,
}

/// Collects deltas until they are worth an event.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    /// Texts that are whole: another item, or another kind of text, followed.
    whole: Vec<(Kind, String)>,
    growing: Option<(Kind, String)>,
    bytes: usize,
    since: Option<Instant>,
}

impl Coalescer {
    /// Takes in a delta.
    pub(crate) fn push(&mut self, kind: Kind, delta: &str) {
        if delta.is_empty() {
            return;
        }
        self.bytes += delta.len();
        self.since.get_or_insert_with(Instant::now);
        match &mut self.growing {
            Some((growing, text)) if *growing == kind => text.push_str(delta),
            _ => {
                self.end_item();
                self.growing = Some((kind, delta.to_owned()));
            }
        }
    }

    /// What follows belongs to another item, even if it is of the same kind.
    pub(crate) fn end_item(&mut self) {
        self.whole.extend(self.growing.take());
    }

    /// When what was taken in should be shown.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + MAX_WAIT)
    }

    /// The events of what is due now.
    pub(crate) fn take_due(&mut self) -> Vec<Event> {
        let is_late = self.due().is_some_and(|due| due <= Instant::now());
        if is_late || self.bytes >= MAX_BYTES {
            return self.take();
        }
        Vec::new()
    }

    /// The events of everything taken in, in order.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        self.end_item();
        let Self { whole, .. } = std::mem::take(self);
        whole.into_iter().map(event).collect()
    }
}

fn event((kind, delta): (Kind, String)) -> Event {
    match kind {
        Kind::Reasoning => Event::ReasoningDelta { delta },
        Kind::Message => Event::MessageDelta { delta },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_kind_is_joined_and_kinds_keep_their_order() {
        let mut joined = Coalescer::default();
        joined.push(Kind::Reasoning, "a");
        joined.push(Kind::Reasoning, "b");
        joined.push(Kind::Message, "c");
        joined.push(Kind::Message, "");
        let reasoning = Event::ReasoningDelta { delta: "ab".into() };
        let message = Event::MessageDelta { delta: "c".into() };
        assert_eq!(joined.take(), [reasoning, message]);
        assert_eq!((joined.take(), joined.due()), (Vec::new(), None));
    }

    #[test]
    fn text_of_two_items_is_not_joined() {
        let mut joined = Coalescer::default();
        joined.push(Kind::Message, "a");
        joined.end_item();
        joined.push(Kind::Message, "b");
        let message = |delta: &str| Event::MessageDelta {
            delta: delta.to_owned(),
        };
        assert_eq!(joined.take(), [message("a"), message("b")]);
    }

    #[test]
    fn much_text_does_not_wait() {
        let mut joined = Coalescer::default();
        joined.push(Kind::Message, "a");
        assert_eq!(joined.take_due(), []);
        joined.push(Kind::Message, &"b".repeat(MAX_BYTES));
        assert_eq!(joined.take_due().len(), 1);
    }
}

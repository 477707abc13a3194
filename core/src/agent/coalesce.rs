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

/// Collects deltas of one kind at a time.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    pending: Option<(Kind, String, Instant)>,
}

impl Coalescer {
    /// Takes in a delta, and answers the event that became due, if any.
    pub(crate) fn push(&mut self, kind: Kind, delta: &str) -> Option<Event> {
        let due = match &mut self.pending {
            Some((pending, text, since)) if *pending == kind => {
                text.push_str(delta);
                if text.len() < MAX_BYTES && since.elapsed() < MAX_WAIT {
                    return None;
                }
                return self.flush();
            }
            _ => self.flush(),
        };
        self.pending = Some((kind, delta.to_owned(), Instant::now()));
        due
    }

    /// When the pending text should be shown.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(_, _, since)| *since + MAX_WAIT)
    }

    /// The event of what is pending.
    pub(crate) fn flush(&mut self) -> Option<Event> {
        let (kind, delta, _) = self.pending.take()?;
        if delta.is_empty() {
            return None;
        }
        Some(match kind {
            Kind::Reasoning => Event::ReasoningDelta { delta },
            Kind::Message => Event::MessageDelta { delta },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_kind_is_joined_and_kinds_keep_their_order() {
        let mut joined = Coalescer::default();
        assert_eq!(joined.push(Kind::Reasoning, "a"), None);
        assert_eq!(joined.push(Kind::Reasoning, "b"), None);
        let reasoning = joined.push(Kind::Message, "c");
        assert_eq!(
            reasoning,
            Some(Event::ReasoningDelta { delta: "ab".into() })
        );
        assert_eq!(
            joined.flush(),
            Some(Event::MessageDelta { delta: "c".into() })
        );
        assert_eq!(joined.flush(), None);
    }

    #[test]
    fn much_text_does_not_wait() {
        let mut joined = Coalescer::default();
        assert_eq!(joined.push(Kind::Message, "a"), None);
        let much = "b".repeat(MAX_BYTES);
        assert!(joined.push(Kind::Message, &much).is_some());
    }
}

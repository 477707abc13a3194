//! The last committed events of a run that somebody watches, so that following a run live reads
//! nothing back from the disk.

use std::collections::VecDeque;

use pullwright_protocol::LoggedEvent;

use super::op::EventRow;

/// How much a tail holds, in bytes of JSON. Followers that are further behind read the file.
const MAX_BYTES: usize = 256 * 1024;

/// Events without a gap, the newest last.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<(LoggedEvent, usize)>,
    bytes: usize,
}

impl Tail {
    /// Adds events that are committed.
    pub(super) fn extend(&mut self, rows: &[EventRow]) {
        for row in rows {
            let follows = |(last, _): &(LoggedEvent, _)| last.seq + 1 == row.logged.seq;
            if !self.events.back().is_none_or(follows) {
                *self = Self::default();
            }
            self.bytes += row.json.len();
            self.events.push_back((row.logged.clone(), row.json.len()));
        }
        while self.bytes > MAX_BYTES {
            let dropped = self
                .events
                .pop_front()
                .map_or(self.bytes, |(_, bytes)| bytes);
            self.bytes -= dropped;
        }
    }

    /// The events after `after`, at most `limit`; nothing where the file may know more.
    pub(super) fn after(&self, after: u64, limit: usize) -> Option<Vec<LoggedEvent>> {
        let (first, _) = self.events.front()?;
        let skipped = usize::try_from(after.checked_sub(first.seq - 1)?).ok()?;
        let events = self.events.iter().skip(skipped).take(limit);
        let page: Vec<LoggedEvent> = events.map(|(event, _)| event.clone()).collect();
        (!page.is_empty()).then_some(page)
    }
}

#[cfg(test)]
mod tests {
    use pullwright_core::log::stamp;
    use pullwright_protocol::Event;

    use super::*;

    fn row(seq: u64, bytes: usize) -> EventRow {
        EventRow {
            logged: stamp(seq, Event::MessageDelta { delta: "x".into() }),
            json: "x".repeat(bytes),
        }
    }

    fn numbers(page: Option<Vec<LoggedEvent>>) -> Option<Vec<u64>> {
        page.map(|page| page.iter().map(|event| event.seq).collect())
    }

    #[test]
    fn what_it_cannot_answer_in_full_it_does_not_answer() {
        let mut tail = Tail::default();
        assert_eq!(numbers(tail.after(0, 9)), None);
        tail.extend(&[row(3, 1), row(4, 1), row(5, 1)]);
        assert_eq!(numbers(tail.after(1, 9)), None);
        assert_eq!(numbers(tail.after(2, 9)), Some(vec![3, 4, 5]));
        assert_eq!(numbers(tail.after(2, 2)), Some(vec![3, 4]));
        assert_eq!(numbers(tail.after(4, 9)), Some(vec![5]));
        assert_eq!(numbers(tail.after(5, 9)), None);
    }

    #[test]
    fn events_of_another_writer_in_between_start_it_anew() {
        let mut tail = Tail::default();
        tail.extend(&[row(1, 1)]);
        tail.extend(&[row(3, 1)]);
        assert_eq!(numbers(tail.after(0, 9)), None);
        assert_eq!(numbers(tail.after(2, 9)), Some(vec![3]));
    }

    #[test]
    fn it_is_bounded() {
        let mut tail = Tail::default();
        tail.extend(&[row(1, MAX_BYTES), row(2, 1), row(3, 1)]);
        assert_eq!(numbers(tail.after(1, 9)), Some(vec![2, 3]));
        tail.extend(&[row(4, 2 * MAX_BYTES)]);
        assert_eq!(numbers(tail.after(1, 9)), None);
        assert_eq!(tail.bytes, 0);
    }
}

//! Who wants to hear of a run's next event.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_protocol::{LoggedEvent, RunId};
use tokio::sync::watch;

use super::op::EventRow;
use super::tail::Tail;

/// Above this many entries, adding one first drops those nobody listens to any more: keeps the map
/// as small as the number of open streams.
const SWEEP_ABOVE: usize = 256;

/// An entry per watched run; runs that nobody watches have none.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    watched: Mutex<HashMap<RunId, Watched>>,
}

#[derive(Debug)]
struct Watched {
    committed: watch::Sender<u64>,
    tail: Tail,
}

impl Watched {
    /// A repeated append says less than is known.
    fn know(&self, last_seq: u64) {
        self.committed.send_if_modified(|known| {
            let more = last_seq > *known;
            *known = last_seq.max(*known);
            more
        });
    }
}

impl Watchers {
    pub(super) fn watch(&self, run: &RunId) -> watch::Receiver<u64> {
        let mut watched = self.lock();
        if watched.len() >= SWEEP_ABOVE && !watched.contains_key(run) {
            watched.retain(|_, watched| watched.committed.receiver_count() > 0);
        }
        let entry = watched.entry(run.clone()).or_insert_with(|| Watched {
            committed: watch::Sender::new(0),
            tail: Tail::default(),
        });
        entry.committed.subscribe()
    }

    /// Says that these events are committed.
    pub(super) fn committed(&self, run: &RunId, rows: &[EventRow]) {
        let Some(last) = rows.last() else { return };
        let mut watched = self.lock();
        let Some(entry) = watched.get_mut(run) else {
            return;
        };
        if entry.committed.receiver_count() == 0 {
            watched.remove(run);
        } else {
            entry.tail.extend(rows);
            entry.know(last.logged.seq);
        }
    }

    /// Says what another process has committed.
    pub(super) fn heard(&self, run: &RunId, last_seq: u64) {
        if let Some(entry) = self.lock().get(run) {
            entry.know(last_seq);
        }
    }

    /// Those of `runs` that somebody watches.
    pub(super) fn watched(&self, mut runs: Vec<RunId>) -> Vec<RunId> {
        let watched = self.lock();
        runs.retain(|run| watched.contains_key(run));
        runs
    }

    /// The runs that somebody watches.
    pub(super) fn all_watched(&self) -> Vec<RunId> {
        let mut watched = self.lock();
        watched.retain(|_, watched| watched.committed.receiver_count() > 0);
        watched.keys().cloned().collect()
    }

    /// The committed events after `after`, at most `limit`, if they are at hand.
    pub(super) fn recent(&self, run: &RunId, after: u64, limit: usize) -> Option<Vec<LoggedEvent>> {
        self.lock().get(run)?.tail.after(after, limit)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pullwright_core::log::stamp;
    use pullwright_protocol::Event;

    use super::*;

    fn row(seq: u64) -> EventRow {
        EventRow {
            logged: stamp(seq, Event::MessageDelta { delta: "x".into() }),
            json: "{}".to_owned(),
        }
    }

    #[test]
    fn entries_nobody_listens_to_are_dropped() {
        let watchers = Watchers::default();
        let kept = watchers.watch(&RunId("kept".to_owned()));
        for n in 0..10 * SWEEP_ABOVE {
            watchers.watch(&RunId(format!("gone-{n}")));
        }
        assert!(watchers.lock().len() <= SWEEP_ABOVE);
        watchers.committed(&RunId("kept".to_owned()), &[row(6), row(7)]);
        assert_eq!(*kept.borrow(), 7);
    }

    #[test]
    fn what_is_known_never_goes_back() {
        let watchers = Watchers::default();
        let run = RunId("run".to_owned());
        let hint = watchers.watch(&run);
        watchers.committed(&run, &[row(1), row(2)]);
        watchers.committed(&run, &[row(1)]);
        assert_eq!(*hint.borrow(), 2);
    }

    #[test]
    fn a_commit_drops_an_entry_without_listeners() {
        let watchers = Watchers::default();
        let run = RunId("run".to_owned());
        drop(watchers.watch(&run));
        watchers.committed(&run, &[row(1)]);
        assert!(watchers.lock().is_empty());
    }
}

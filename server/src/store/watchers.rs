//! Who wants to hear of a run's next event.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_protocol::RunId;
use tokio::sync::watch;

/// Above this many entries, adding one first drops those nobody listens to any more: keeps the map
/// as small as the number of open streams.
const SWEEP_ABOVE: usize = 256;

/// A sender per watched run; runs that nobody watches have none.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    senders: Mutex<HashMap<RunId, watch::Sender<u64>>>,
}

impl Watchers {
    pub(super) fn watch(&self, run: &RunId) -> watch::Receiver<u64> {
        let mut senders = self.lock();
        if senders.len() >= SWEEP_ABOVE && !senders.contains_key(run) {
            senders.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = senders
            .entry(run.clone())
            .or_insert_with(|| watch::Sender::new(0));
        sender.subscribe()
    }

    /// Says that events up to `seq` are committed.
    pub(super) fn committed(&self, run: &RunId, seq: u64) {
        let mut senders = self.lock();
        let Some(sender) = senders.get(run) else {
            return;
        };
        if sender.receiver_count() == 0 {
            senders.remove(run);
        } else {
            sender.send_replace(seq);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<u64>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_nobody_listens_to_are_dropped() {
        let watchers = Watchers::default();
        let kept = watchers.watch(&RunId("kept".to_owned()));
        for n in 0..10 * SWEEP_ABOVE {
            watchers.watch(&RunId(format!("gone-{n}")));
        }
        assert!(watchers.lock().len() <= SWEEP_ABOVE);
        watchers.committed(&RunId("kept".to_owned()), 7);
        assert_eq!(*kept.borrow(), 7);
    }

    #[test]
    fn a_commit_drops_an_entry_without_listeners() {
        let watchers = Watchers::default();
        let run = RunId("run".to_owned());
        drop(watchers.watch(&run));
        watchers.committed(&run, 1);
        assert!(watchers.lock().is_empty());
    }
}

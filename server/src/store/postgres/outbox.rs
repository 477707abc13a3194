//! Of which runs the other servers are to hear, and when.
//!
//! A notification takes a lock of the whole database at its commit, and every server hears every one;
//! so they are sent apart from the appends, many runs at once, and of one run only so often.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pullwright_protocol::RunId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A run is spoken of at most this often; its next event after a pause is told at once.
pub(super) const QUIET: Duration = Duration::from_millis(250);

/// Runs with events that the others have not heard of.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashSet<RunId>,
    /// When runs were last spoken of, as far as it still matters.
    told: HashMap<RunId, Instant>,
}

impl Outbox {
    pub(super) fn add(&self, runs: impl Iterator<Item = RunId>) {
        self.lock().waiting.extend(runs);
        self.added.notify_one();
    }

    /// Waits until a run may be spoken of. Nothing is lost when this is dropped.
    pub(super) async fn due(&self) {
        loop {
            let next = self.lock().next(Instant::now());
            let Some(next) = next else {
                self.added.notified().await;
                continue;
            };
            if next <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.added.notified() => {}
            }
        }
    }

    /// The runs that may be spoken of now.
    pub(super) fn take(&self) -> Vec<RunId> {
        self.lock().take(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&self, now: Instant) -> Option<Instant> {
        let due = |run| self.told.get(run).map_or(now, |told| *told + QUIET);
        self.waiting.iter().map(due).min()
    }

    fn take(&mut self, now: Instant) -> Vec<RunId> {
        self.told.retain(|_, told| now < *told + QUIET);
        let due: Vec<RunId> = self
            .waiting
            .extract_if(|run| !self.told.contains_key(run))
            .collect();
        let told = due.iter().map(|run| (run.clone(), now));
        self.told.extend(told);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> RunId {
        RunId(name.to_owned())
    }

    #[test]
    fn a_run_is_spoken_of_at_once_and_then_after_a_while() {
        let (mut state, begin) = (State::default(), Instant::now());
        state.waiting.insert(run("a"));
        assert_eq!(state.next(begin), Some(begin));
        assert_eq!(state.take(begin), [run("a")]);
        assert_eq!(state.next(begin), None);
        state.waiting.insert(run("a"));
        assert_eq!(state.next(begin), Some(begin + QUIET));
        assert_eq!(state.take(begin + QUIET / 2), []);
        state.waiting.insert(run("b"));
        assert_eq!(state.take(begin + QUIET / 2), [run("b")]);
        assert_eq!(state.take(begin + QUIET), [run("a")]);
        assert_eq!(state.take(begin + 3 * QUIET), []);
        assert!(state.told.is_empty());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_quiet_time_or_with_another_run() {
        let outbox = Outbox::default();
        let begin = Instant::now();
        outbox.add([run("a")].into_iter());
        outbox.due().await;
        outbox.take();
        outbox.add([run("a")].into_iter());
        outbox.due().await;
        assert!(Instant::now() >= begin + QUIET);
        outbox.take();
        outbox.add([run("a")].into_iter());
        outbox.add([run("b")].into_iter());
        outbox.due().await;
        assert_eq!(outbox.take(), [run("b")]);
    }
}

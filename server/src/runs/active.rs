//! The runs that a server owns at the moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::RunId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How a run left a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It has ended, or its log cannot be written any more.
    Ended,
    /// Another server goes on with it, or the next start of this one.
    GoesOn,
    /// Nobody works on it for a while; whoever takes it up then may be this server.
    Parked,
}

/// Tells when and how a run leaves its server.
#[derive(Clone, Debug)]
pub struct Departing(watch::Receiver<Option<Departure>>);

impl Departing {
    /// Waits until the run has left.
    pub async fn departed(&mut self) -> Departure {
        let departed = self.0.wait_for(Option::is_some).await;
        departed
            .ok()
            .and_then(|how| *how)
            .unwrap_or(Departure::Ended)
    }
}

/// The runs that a server owns at the moment, whether they wait or work.
#[derive(Debug, Default)]
pub(super) struct ActiveRuns {
    runs: Mutex<HashMap<RunId, Active>>,
}

/// An idempotency key, and who chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedKey {
    pub(super) owner: Option<String>,
    pub(super) key: String,
}

#[derive(Debug)]
struct Active {
    key: Option<OwnedKey>,
    cancel: CancellationToken,
    departing: Departing,
}

/// A run's stay at this server. It ends when this is dropped, also where the task that sees to the run
/// breaks; the run's lease runs out then.
#[derive(Debug)]
pub(super) struct Stay {
    runs: Arc<ActiveRuns>,
    run: RunId,
    how: Departure,
    departure: watch::Sender<Option<Departure>>,
}

impl Stay {
    pub(super) fn end(mut self, how: Departure) {
        self.how = how;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.runs.lock().remove(&self.run);
        self.departure.send_replace(Some(self.how));
    }
}

impl ActiveRuns {
    pub(super) fn add(
        self: &Arc<Self>,
        run: RunId,
        key: Option<OwnedKey>,
        cancel: CancellationToken,
    ) -> Stay {
        let departure = watch::Sender::default();
        let active = Active {
            key,
            cancel,
            departing: Departing(departure.subscribe()),
        };
        self.lock().insert(run.clone(), active);
        Stay {
            runs: Arc::clone(self),
            run,
            how: Departure::GoesOn,
            departure,
        }
    }

    pub(super) fn cancel(&self, run: &RunId) {
        if let Some(active) = self.lock().get(run) {
            active.cancel.cancel();
        }
    }

    pub(super) fn departing(&self, run: &RunId) -> Option<Departing> {
        let runs = self.lock();
        runs.get(run).map(|active| active.departing.clone())
    }

    pub(super) fn contains(&self, run: &RunId) -> bool {
        self.lock().contains_key(run)
    }

    pub(super) fn has_key(&self, key: &OwnedKey) -> bool {
        let runs = self.lock();
        runs.values().any(|active| active.key.as_ref() == Some(key))
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stay_ends_however_its_task_does() {
        let runs = Arc::new(ActiveRuns::default());
        let run = RunId("run".to_owned());
        for (how, expected) in [
            (Some(Departure::Ended), Departure::Ended),
            (None, Departure::GoesOn),
        ] {
            let stay = runs.add(run.clone(), None, CancellationToken::new());
            let mut departing = runs.departing(&run).unwrap();
            let task = tokio::spawn(async move {
                match how {
                    Some(how) => stay.end(how),
                    None => panic!("as asked"),
                }
            });
            assert_eq!(departing.departed().await, expected);
            assert!(!runs.contains(&run));
            assert_eq!(task.await.is_ok(), how.is_some());
        }
    }
}

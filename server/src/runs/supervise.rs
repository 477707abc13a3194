//! Watches over one run: its place, its heartbeat, its cancellation, and an end in any case.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use pullwright_core::run::{Executed, OwnedRun};
use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::{FailureKind, Outcome, RunId};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::ending::Ending;
use super::line::Seat;
use super::{Departure, Runs};
use crate::logging;

/// A lease outlives this many lost heartbeats.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// How often letting go of a run is tried, and how long to wait in between. Its lease runs out at last.
const RELEASE_ATTEMPTS: u32 = 3;
const RELEASE_WAIT: Duration = Duration::from_millis(200);

/// Why this server is done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It has ended by itself, or should have.
    ByItself,
    /// Its task broke.
    Panicked,
    /// It was cancelled and its task did not end.
    TooSlow,
    /// It was cancelled before it had a place.
    CancelledWaiting,
    /// It did not get a place in time.
    WaitedTooLong,
    /// It can go on elsewhere from here.
    HandedOver,
    /// It can go on once this time has passed.
    Parked(Duration),
    /// The server stops and cannot wait for it.
    Abandoned,
}

impl Runs {
    /// Waits for the run's place and carries it out, while its lease is kept.
    pub(super) async fn see_through(&self, mut owned: OwnedRun, seat: &Seat) -> Departure {
        let kept = owned.clone();
        let whole = async {
            let stopped = match self.wait_for_place(&mut owned, seat).await {
                Ok(()) => self.work_on(&mut owned).await,
                Err(stopped) => stopped,
            };
            let departure = self.part_with(&owned, stopped).await;
            let has_tidied = stopped == Stopped::ByItself || departure != Departure::Ended;
            if owned.is_resumed && !has_tidied {
                // Whatever its owners before had here that nobody went on with.
                self.shared.execute.clean_up(&owned.id).await;
            }
            departure
        };
        tokio::pin!(whole);
        tokio::select! {
            departure = &mut whole => departure,
            () = self.keep_alive(&kept) => whole.await,
        }
    }

    /// Works on the run; one that is to come back later and has nobody else to take it up keeps its place.
    async fn work_on(&self, owned: &mut OwnedRun) -> Stopped {
        loop {
            let stopped = self.work(owned).await;
            let Stopped::Parked(wait) = stopped else {
                return stopped;
            };
            if self.shared.config.parks {
                return stopped;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = owned.cancel.cancelled() => {}
                () = owned.hand_over.soon.cancelled() => return Stopped::HandedOver,
            }
            owned.is_resumed = true;
        }
    }

    async fn work(&self, owned: &OwnedRun) -> Stopped {
        let begun = Instant::now();
        let execute = Arc::clone(&self.shared.execute);
        let executed = owned.clone();
        let lines = logging::run_span(&owned.id, &self.shared.config.traces);
        let work = async move { execute.execute(executed).await };
        let mut work = tokio::spawn(work.instrument(lines));
        let stopped = self.until_stopped(&mut work, owned).await;
        if stopped == Stopped::ByItself {
            let pace = self.shared.pace.lock();
            let mut pace = pace.unwrap_or_else(PoisonError::into_inner);
            pace.ended(begun.elapsed());
        }
        stopped
    }

    async fn until_stopped(&self, work: &mut JoinHandle<Executed>, owned: &OwnedRun) -> Stopped {
        let grace = self.shared.config.cancel_grace;
        let too_slow = async {
            owned.cancel.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        let stopped = tokio::select! {
            biased;
            done = &mut *work => return match done {
                Ok(Executed::Ended) => Stopped::ByItself,
                Ok(Executed::HandedOver) => Stopped::HandedOver,
                Ok(Executed::Parked(wait)) => Stopped::Parked(wait),
                Err(error) => {
                    tracing::error!(run = %owned.id, %error, "a run's task broke");
                    Stopped::Panicked
                }
            },
            () = self.shared.closing.abandon.cancelled() => Stopped::Abandoned,
            () = too_slow => Stopped::TooSlow,
        };
        work.abort();
        stopped
    }

    /// Extends the lease and looks for a cancellation noted elsewhere, until the run is lost.
    async fn keep_alive(&self, claimed: &OwnedRun) {
        let lease = self.shared.config.lease;
        loop {
            tokio::time::sleep(lease / HEARTBEATS_PER_LEASE).await;
            match self.beat(claimed, lease).await {
                Ok(()) => {}
                Err(StoreError::Database { what, source, .. }) => {
                    tracing::warn!(run = %claimed.id, what, %source, "a heartbeat failed");
                }
                Err(error) => {
                    tracing::warn!(run = %claimed.id, %error, "the run is stopped here");
                    claimed.hand_over.now.cancel();
                    return;
                }
            }
        }
    }

    async fn beat(&self, claimed: &OwnedRun, lease: Duration) -> Result<(), StoreError> {
        let store = &self.shared.store;
        store.heartbeat(&claimed.id, claimed.epoch, lease).await?;
        let record = store.get(&claimed.id).await?;
        if record.is_some_and(|record| record.cancel_requested) {
            claimed.cancel.cancel();
        }
        Ok(())
    }

    /// Lets go of the run, or makes sure that it has ended.
    async fn part_with(&self, owned: &OwnedRun, stopped: Stopped) -> Departure {
        if let Stopped::Parked(wait) = stopped {
            self.put_aside(&owned.id, owned.epoch, wait).await;
            return Departure::Parked;
        }
        let Some(ending) = ending(stopped) else {
            if stopped == Stopped::HandedOver {
                self.release(&owned.id, owned.epoch).await;
            }
            self.shared.closing.count(stopped);
            return Departure::GoesOn;
        };
        let store = self.shared.store.as_ref();
        match ending.write(store, &owned.id, owned.epoch).await {
            Ok(()) => Departure::Ended,
            // Another worker owns the run now, so it also ends it.
            Err(StoreError::Fenced(_)) => Departure::GoesOn,
            Err(error) => {
                tracing::error!(run = %owned.id, %error, "the end of a run cannot be stored");
                Departure::Ended
            }
        }
    }

    /// Lets go of a run, so that whoever goes on with it need not wait for its lease to run out.
    pub(super) async fn release(&self, run: &RunId, epoch: Epoch) {
        let store = &self.shared.store;
        let release = || store.heartbeat(run, epoch, Duration::ZERO);
        Self::let_go(run, release).await;
    }

    /// Lets go of a run that nobody is to take up before `wait` has passed. One whose lease runs out instead is
    /// taken up too early, and is put aside again.
    async fn put_aside(&self, run: &RunId, epoch: Epoch, wait: Duration) {
        let store = &self.shared.store;
        Self::let_go(run, || store.park(run, epoch, wait)).await;
    }

    async fn let_go<F>(run: &RunId, release: impl Fn() -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        for attempt in 1..=RELEASE_ATTEMPTS {
            match release().await {
                Err(StoreError::Database { .. }) if attempt < RELEASE_ATTEMPTS => {
                    tokio::time::sleep(RELEASE_WAIT).await;
                }
                Err(StoreError::Database { what, source, .. }) => {
                    tracing::warn!(%run, what, %source, "a run is not let go of before its lease ends");
                }
                // Who has lost it need not let go of it.
                _ => return,
            }
        }
    }
}

/// How a run is ended that nobody goes on with, unless it has ended by itself.
fn ending(stopped: Stopped) -> Option<Ending> {
    let internal = Outcome::Failed(FailureKind::Internal);
    let (outcome, why) = match stopped {
        Stopped::ByItself => (internal, "the run stopped without saying how it ended"),
        Stopped::Panicked => (
            internal,
            "a defect of pullwright broke the run; the server's log says more",
        ),
        Stopped::TooSlow => (
            Outcome::Cancelled,
            "cancelled; the work did not stop in time",
        ),
        Stopped::CancelledWaiting => (
            Outcome::Cancelled,
            "cancelled in the queue, before anything was done",
        ),
        Stopped::WaitedTooLong => (
            Outcome::Failed(FailureKind::Limit),
            "no place became free within `[server] max_queue_minutes` and nothing was done; \
             start the run again later",
        ),
        Stopped::HandedOver | Stopped::Parked(_) | Stopped::Abandoned => return None,
    };
    Some(Ending { outcome, why })
}

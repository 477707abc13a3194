//! Watches over one run: heartbeat, cancellation, and an end in any case.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::run::Executed;
use pullwright_core::store::StoreError;
use pullwright_protocol::{FailureKind, Outcome};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::ending::Ending;
use super::{OwnedRun, Runs};
use crate::logging;

/// A lease outlives this many lost heartbeats.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// How a run's task came to its end.
enum Stopped {
    ByItself,
    Panicked,
    TooSlow,
    HandedOver,
}

impl Runs {
    pub(super) async fn supervise(&self, claimed: OwnedRun) {
        let execute = Arc::clone(&self.shared.execute);
        let executed = claimed.clone();
        let lines = logging::run_span(&claimed.id, &self.shared.config.traces);
        let work = async move { execute.execute(executed).await };
        let mut work = tokio::spawn(work.instrument(lines));
        let stopped = tokio::select! {
            stopped = self.wait(&mut work, &claimed) => stopped,
            () = self.keep_alive(&claimed) => self.wait(&mut work, &claimed).await,
        };
        self.make_sure_it_ended(&claimed, stopped).await;
    }

    async fn wait(&self, work: &mut JoinHandle<Executed>, claimed: &OwnedRun) -> Stopped {
        let grace = self.shared.config.cancel_grace;
        let too_slow = async {
            claimed.cancel.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            biased;
            ended = &mut *work => match ended {
                Ok(Executed::HandedOver) => Stopped::HandedOver,
                Ok(Executed::Ended) => Stopped::ByItself,
                Err(error) => {
                    tracing::error!(run = %claimed.id, %error, "a run's task broke");
                    Stopped::Panicked
                }
            },
            () = too_slow => {
                work.abort();
                Stopped::TooSlow
            }
        }
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
                    claimed.cancel.cancel();
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

    async fn make_sure_it_ended(&self, claimed: &OwnedRun, stopped: Stopped) {
        if matches!(stopped, Stopped::HandedOver) {
            return;
        }
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
            Stopped::HandedOver => unreachable!(),
        };
        let ending = Ending { outcome, why };
        let store = self.shared.store.as_ref();
        match ending.write(store, &claimed.id, claimed.epoch).await {
            // Another worker owns the run now, so it also ends it.
            Ok(()) | Err(StoreError::Fenced(_)) => {}
            Err(error) => {
                tracing::error!(run = %claimed.id, %error, "the end of a run cannot be stored");
            }
        }
    }
}

//! How a server parts with its runs when it stops: those that cannot end in time go on elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pullwright_core::run::HandOver;
use tokio_util::sync::CancellationToken;

use super::Runs;
use super::supervise::Stopped;

/// How long runs that are abandoned may take to notice it.
const ABANDON_WAIT: Duration = Duration::from_secs(2);

/// How long a stopping server waits for its runs.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until they end, or come to where another server can go on.
    pub soon: Duration,
    /// Then, until they are interrupted.
    pub now: Duration,
}

/// What became of the runs of a server that stopped, other than that they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parted {
    /// They stopped where another server can go on, which may claim them at once.
    pub handed_over: usize,
    /// They did not stop in time; another server may claim them when their leases have run out.
    pub abandoned: usize,
}

/// How far a server is with stopping.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Fires when no new runs are taken and those that are there should go.
    pub(super) soon: CancellationToken,
    now: CancellationToken,
    pub(super) abandon: CancellationToken,
    over: CancellationToken,
    handed_over: AtomicUsize,
    abandoned: AtomicUsize,
}

impl Closing {
    /// What a run is told; one that is started while the server stops is told at once.
    pub(super) fn hand_over(&self) -> HandOver {
        HandOver {
            soon: self.soon.child_token(),
            now: self.now.child_token(),
        }
    }

    pub(super) fn count(&self, stopped: Stopped) {
        match stopped {
            Stopped::HandedOver => self.handed_over.fetch_add(1, Ordering::Relaxed),
            Stopped::Abandoned => self.abandoned.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }
}

impl Runs {
    /// Whether the server has been told to stop, so that it takes no new runs.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.soon.is_cancelled()
    }

    /// Fires when the server has parted with all its runs.
    #[must_use]
    pub fn closed(&self) -> &CancellationToken {
        &self.shared.closing.over
    }

    /// How many runs work here or wait for a place.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.active.len()
    }

    /// Takes no new runs, and parts with those that are here.
    pub async fn hand_over(&self, patience: Patience) -> Parted {
        let closing = &self.shared.closing;
        closing.soon.cancel();
        self.shared.tasks.close();
        for (wait, then) in [
            (patience.soon, &closing.now),
            (patience.now, &closing.abandon),
        ] {
            if !self.all_left_within(wait).await {
                then.cancel();
            }
        }
        let left = self.all_left_within(ABANDON_WAIT).await;
        closing.over.cancel();
        let stuck = if left { 0 } else { self.count() };
        Parted {
            handed_over: closing.handed_over.load(Ordering::Relaxed),
            abandoned: closing.abandoned.load(Ordering::Relaxed) + stuck,
        }
    }

    async fn all_left_within(&self, wait: Duration) -> bool {
        let left = self.shared.tasks.wait();
        tokio::time::timeout(wait, left).await.is_ok()
    }
}

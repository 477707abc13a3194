//! After an outage, leases have run out that nobody could extend: their owners get some time to do so
//! before they are taken for dead.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Twice as long as the time between two heartbeats.
const GRACE: Duration = Duration::from_secs(10);

/// Whether an outage was a moment ago.
#[derive(Debug, Default)]
pub(super) struct Grace {
    until: Mutex<Option<Instant>>,
}

impl Grace {
    /// The database is gone.
    pub(super) fn begin(&self) {
        *self.lock() = Some(Instant::now() + GRACE);
    }

    /// It is there; if it was gone before, it is back only now.
    pub(super) fn renew(&self) {
        if let Some(until) = &mut *self.lock() {
            *until = Instant::now() + GRACE;
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().is_none_or(|until| until <= Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

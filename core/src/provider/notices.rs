//! What a provider wants people to know, on its way into the log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::{Event, Stage};

use crate::log::EventLog;

/// How many different notices of a provider are told: one that says something new all the time must not fill
/// the log.
const MAX_NOTICES: usize = 32;
/// The most of a notice that is told.
const MAX_CHARS: usize = 2000;

/// The log of a run, and what it was told.
#[derive(Clone)]
pub(super) struct Notices {
    log: EventLog,
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Notices {
    pub(super) fn new(log: EventLog) -> Self {
        Self {
            log,
            told: Arc::default(),
        }
    }

    /// Tells it once: most of what a service says of one reply is true of the next, too.
    pub(super) async fn tell(&self, message: &str) {
        let message: String = message.chars().take(MAX_CHARS).collect();
        if !self.is_new(&message) {
            return;
        }
        let status = Event::Status {
            stage: Stage::Work,
            message: message.clone(),
        };
        self.log.emit(status).await;
        // Only now: whoever waits for the log may be cancelled.
        self.told().insert(message);
    }

    fn is_new(&self, message: &str) -> bool {
        let told = self.told();
        told.len() < MAX_NOTICES && !told.contains(message)
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

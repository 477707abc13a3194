//! The tokens in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_core::caller_token::CallerToken;
use pullwright_protocol::RunId;

/// The tokens of runs that have not ended, as far as this process has seen them. A run that is let go of may
/// come back.
#[derive(Debug, Default)]
pub(crate) struct HeldTokens(Mutex<HashMap<RunId, CallerToken>>);

impl HeldTokens {
    pub(crate) fn hold(&self, run: RunId, token: CallerToken) {
        self.lock().insert(run, token);
    }

    pub(crate) fn of(&self, run: &RunId) -> Option<CallerToken> {
        self.lock().get(run).cloned()
    }

    pub(crate) fn forget(&self, run: &RunId) {
        self.lock().remove(run);
    }

    /// The runs whose tokens are here.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, CallerToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

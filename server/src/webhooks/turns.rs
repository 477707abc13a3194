//! What is asked for on one issue or pull request is done one after the other, so that each delivery sees the
//! run that the one before it has started.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::ask::Ask;

/// A repository's URL, and the number of an issue or a pull request.
type Place = (String, u64);
type Turn = Mutex<()>;

/// Whose turn it is, for each issue and pull request that is asked about at the moment.
#[derive(Default)]
pub(super) struct Turns {
    by_thread: std::sync::Mutex<HashMap<Place, Weak<Turn>>>,
}

impl Turns {
    /// Waits until nobody else works on the thread. The turn lasts until it is dropped; one that belongs to no
    /// thread waits for nobody.
    pub(super) async fn of(&self, ask: &Ask) -> Option<OwnedMutexGuard<()>> {
        let number = ask.cause.thread()?;
        let turn = self.turn((ask.repo_url.clone(), number));
        Some(turn.lock_owned().await)
    }

    fn turn(&self, thread: Place) -> Arc<Turn> {
        let mut by_thread = self
            .by_thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        by_thread.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = by_thread.get(&thread).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        by_thread.insert(thread, Arc::downgrade(&turn));
        turn
    }
}

//! When a search has to end before it is done.

use std::time::{Duration, Instant};

use pullwright_tool_kit::Call;

/// Prevents a search through a huge tree from holding up the run.
const SEARCH_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Says when to stop searching.
pub(crate) struct Stop {
    deadline: Instant,
    cancelled: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Stop {
    /// Stops at the time limit, and when the call is given up.
    pub(crate) fn of(call: &Call) -> Self {
        let token = call.cancelled().clone();
        Self {
            deadline: Instant::now() + SEARCH_TIME_LIMIT,
            cancelled: Box::new(move || token.is_cancelled()),
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.deadline || (self.cancelled)()
    }

    /// What to say when it was due.
    pub(crate) fn note() -> String {
        format!(
            "[stopped after {} s, so this is not all; search a smaller folder]",
            SEARCH_TIME_LIMIT.as_secs()
        )
    }
}

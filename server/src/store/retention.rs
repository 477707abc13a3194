//! What retention asks of a store, beside what runs do.

use std::any::Any;

use async_trait::async_trait;
use pullwright_core::store::{Retired, RunRecord, RunStore, StoreError};
use pullwright_protocol::RunId;

/// A store whose runs do not stay for ever. Each call is a small step, so that runs under way are not held
/// up, and may be repeated.
#[async_trait]
pub trait Retention: Send + Sync {
    /// The right to retire runs, which one server has at a time; nothing while another has it.
    async fn turn(&self) -> Result<Option<Turn>, StoreError>;

    /// The runs that ended before `ended_before_ms` (milliseconds since the Unix epoch) and of which events
    /// may still be there, oldest first and after the run `after`; at most `limit`.
    async fn due(
        &self,
        ended_before_ms: u64,
        after: Option<&RunRecord>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError>;

    /// Notes how the events and the patch of an ended run leave the store, unless that is noted already, and
    /// removes some of them. Answers whether there are more.
    async fn retire(&self, run: &RunId, how: Retired) -> Result<bool, StoreError>;

    /// Gives some of the freed space back to the machine. Answers whether there is more.
    async fn give_back(&self) -> Result<bool, StoreError>;
}

/// A store that keeps runs and retires them.
pub trait KeptStore: RunStore + Retention {}

impl<S: RunStore + Retention> KeptStore for S {}

/// The right to retire runs, until it is dropped.
#[must_use]
pub struct Turn {
    _held: Box<dyn Any + Send>,
}

impl Turn {
    /// One that nobody else waits for.
    pub(super) fn free() -> Self {
        Self::held(())
    }

    /// One that ends with `held`.
    pub(super) fn held(held: impl Any + Send) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

/// Where a page of [`Retention::due`] begins.
pub(super) fn place(after: Option<&RunRecord>) -> (i64, &str) {
    let ended = |run: &RunRecord| run.finished_at_ms.unwrap_or_default().cast_signed();
    after.map_or((i64::MIN, ""), |run| (ended(run), run.id.0.as_str()))
}

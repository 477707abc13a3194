//! Retires runs that ended long ago: their events and patches go to an archive, if there is one, and leave
//! the store. What was asked for and how it ended stays, so that lists and idempotency keys stay true.

mod archive;
mod draft;

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::config::ServerConfig;
use pullwright_core::log::now_ms;
use pullwright_core::store::{Retired, RunRecord, StoreError};
use pullwright_protocol::{Event, LoggedEvent, RunId};

use crate::store::KeptStore;

pub use archive::{Archive, ArchiveError, ArchivedEvents};

/// How often runs are looked for that are old enough.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

/// How many runs are looked up at a time.
const PAGE_RUNS: usize = 32;

/// Among how many of its first events a run has what it goes on with. Those before tell its place in the queue.
const FIRST_EVENTS: usize = 512;

/// How long to leave the store alone between two steps: runs under way come first.
const PAUSE: Duration = Duration::from_millis(5);

const MS_PER_DAY: u64 = 24 * 3600 * 1000;

/// Retires runs that ended long ago.
pub struct Retirement {
    store: Arc<dyn KeptStore>,
    keep_days: u32,
    archive: Option<Archive>,
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many runs were retired.
    pub retired: usize,
    /// How many stay for now: they could not be archived, or a run that follows them is under way.
    pub kept: usize,
}

impl Retirement {
    /// As `[server]` says; nothing where runs are kept for ever.
    ///
    /// # Errors
    /// When the archive's folder cannot be used.
    pub fn of(
        config: &ServerConfig,
        store: Arc<dyn KeptStore>,
    ) -> Result<Option<Self>, ArchiveError> {
        let Some(keep_days) = config.keep_runs_days else {
            return Ok(None);
        };
        let archive = config.archive_dir.as_deref().map(Archive::make);
        Ok(Some(Self {
            store,
            keep_days,
            archive: archive.transpose()?,
        }))
    }

    /// Retires what is old enough, now and every hour, until it is dropped.
    pub async fn go_on(self) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            ticks.tick().await;
            match self.pass(now_ms()).await {
                Ok(Passed {
                    retired: 0,
                    kept: 0,
                }) => {}
                Ok(Passed { retired, kept }) => {
                    tracing::info!(retired, kept, "retired runs that ended long ago");
                }
                Err(error) => {
                    tracing::error!(%error, "retiring old runs failed; it is tried again")
                }
            }
        }
    }

    /// Retires the runs that are old enough at `now_ms`, in milliseconds since the Unix epoch. Nothing
    /// where another server is at it.
    ///
    /// # Errors
    /// When the store fails. What is done by then stays done, and the next pass goes on.
    pub async fn pass(&self, now_ms: u64) -> Result<Passed, StoreError> {
        let mut passed = Passed::default();
        let Some(_turn) = self.store.turn().await? else {
            return Ok(passed);
        };
        if let Some(archive) = &self.archive {
            archive.sweep();
        }
        let ended_before_ms = now_ms.saturating_sub(u64::from(self.keep_days) * MS_PER_DAY);
        let mut last: Option<RunRecord> = None;
        loop {
            let due = self
                .store
                .due(ended_before_ms, last.as_ref(), PAGE_RUNS)
                .await?;
            for run in &due {
                match self.retire(run).await? {
                    true => passed.retired += 1,
                    false => passed.kept += 1,
                }
            }
            last = match due.into_iter().last() {
                Some(run) => Some(run),
                None => break,
            };
        }
        while self.store.give_back().await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(passed)
    }

    /// Answers false for a run that stays: nothing of it is removed.
    async fn retire(&self, run: &RunRecord) -> Result<bool, StoreError> {
        if run.retired.is_none() && self.is_read_from(run).await? {
            return Ok(false);
        }
        let how = match (run.retired, &self.archive) {
            // Somebody stopped in the middle: what is left is not the whole.
            (Some(begun), _) => begun,
            (None, None) => Retired::Removed,
            (None, Some(archive)) => match archive.put(self.store.as_ref(), run).await {
                Ok(()) => Retired::Archived,
                Err(ArchiveError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(run = %run.id, %error, "an old run stays in the store");
                    return Ok(false);
                }
            },
        };
        while self.store.retire(&run.id, how).await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(true)
    }

    /// Whether a run of those that follow it is under way and may not have taken over yet what it needs.
    async fn is_read_from(&self, run: &RunRecord) -> Result<bool, StoreError> {
        let mut last = run.id.clone();
        while let Some(follower) = self.store.follower(&last).await? {
            let record = self.store.get(&follower).await?;
            if record.is_some_and(|record| record.outcome.is_none()) {
                return Ok(true);
            }
            if self.has_taken_over(&follower).await? {
                return Ok(false);
            }
            last = follower;
        }
        Ok(false)
    }

    /// Whether the run has in its own log what it goes on with.
    async fn has_taken_over(&self, run: &RunId) -> Result<bool, StoreError> {
        let first = self.store.read(run, 0, FIRST_EVENTS).await?;
        let is_taken_over =
            |logged: &LoggedEvent| matches!(logged.event, Event::RunFollowed { .. });
        Ok(first.iter().any(is_taken_over))
    }
}

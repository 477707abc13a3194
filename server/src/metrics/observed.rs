//! A store whose events are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pullwright_core::store::{Created, Epoch, NewRun, RunRecord, RunStore, StoreError};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use tokio::sync::watch;

use super::Metrics;
use super::fact::Fact;

/// A store that counts what it has committed, and is otherwise the store it was made from.
pub struct ObservedStore {
    store: Arc<dyn RunStore>,
    metrics: Metrics,
}

impl ObservedStore {
    /// Counts what `store` commits.
    #[must_use]
    pub fn new(store: Arc<dyn RunStore>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    fn count(
        &self,
        run: &RunId,
        facts: Vec<Fact>,
        committed: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &committed {
            Ok(()) => self.metrics.committed(run, facts),
            Err(StoreError::Fenced(_)) => self.metrics.lost(run),
            Err(_) => {}
        }
        committed
    }

    async fn timed<T>(&self, commit: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let committed = commit.await;
        let commits = &self.metrics.0.families.commit_seconds;
        commits.observe(begun.elapsed().as_secs_f64());
        committed
    }
}

#[async_trait]
impl RunStore for ObservedStore {
    async fn append(
        &self,
        run: &RunId,
        epoch: Epoch,
        events: Vec<LoggedEvent>,
    ) -> Result<(), StoreError> {
        let facts = events.iter().filter_map(Fact::of).collect();
        let appended = self.timed(self.store.append(run, epoch, events)).await;
        self.count(run, facts, appended)
    }

    async fn finish(
        &self,
        run: &RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<(), StoreError> {
        let facts = Fact::of(&done).into_iter().collect();
        let finishing = self.store.finish(run, epoch, outcome, done);
        let finished = self.timed(finishing).await;
        self.count(run, facts, finished)
    }

    async fn create(&self, new: NewRun) -> Result<Created, StoreError> {
        self.store.create(new).await
    }

    async fn claim(&self, run: &RunId, worker: &str, lease: Duration) -> Result<Epoch, StoreError> {
        self.store.claim(run, worker, lease).await
    }

    async fn heartbeat(
        &self,
        run: &RunId,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let beaten = self.store.heartbeat(run, epoch, lease).await;
        self.count(run, Vec::new(), beaten)
    }

    async fn read(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        self.store.read(run, after, limit).await
    }

    fn watch(&self, run: &RunId) -> watch::Receiver<u64> {
        self.store.watch(run)
    }

    async fn put_patch(&self, run: &RunId, epoch: Epoch, patch: &[u8]) -> Result<(), StoreError> {
        self.store.put_patch(run, epoch, patch).await
    }

    async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.patch(run).await
    }

    async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        self.store.cancel(run).await
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.get(run).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        self.store.list(limit).await
    }

    async fn orphans(&self) -> Result<Vec<RunId>, StoreError> {
        self.store.orphans().await
    }
}

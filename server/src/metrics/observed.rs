//! A store whose events are counted and traced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pullwright_core::store::{
    Created, Epoch, Message, NewMessage, NewRun, Posted, RunFilter, RunPlace, RunRecord, RunStore,
    StoreError,
};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use tokio::sync::watch;

use super::Metrics;
use super::fact::Fact;
use crate::traces::{Steps, Traces};

/// A store that counts and traces what it has committed, and is otherwise the store it was made from.
pub struct ObservedStore {
    store: Arc<dyn RunStore>,
    metrics: Metrics,
    traces: Traces,
}

/// What is kept of events until they are committed.
#[derive(Default)]
struct Seen {
    facts: Vec<Fact>,
    steps: Steps,
}

impl ObservedStore {
    /// Counts and traces what `store` commits.
    #[must_use]
    pub fn new(store: Arc<dyn RunStore>, metrics: Metrics, traces: Traces) -> Self {
        Self {
            store,
            metrics,
            traces,
        }
    }

    fn see(&self, events: &[LoggedEvent]) -> Seen {
        Seen {
            facts: events.iter().filter_map(Fact::of).collect(),
            steps: self.traces.steps(events),
        }
    }

    fn tell(
        &self,
        run: &RunId,
        seen: Seen,
        committed: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &committed {
            Ok(()) => {
                self.metrics.committed(run, seen.facts);
                self.traces.committed(run, seen.steps);
            }
            Err(StoreError::Fenced(_)) => self.lost(run),
            Err(_) => {}
        }
        committed
    }

    /// Another owner has the run now.
    fn lost(&self, run: &RunId) {
        self.metrics.lost(run);
        self.traces.lost(run);
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
        let seen = self.see(&events);
        let appended = self.timed(self.store.append(run, epoch, events)).await;
        self.tell(run, seen, appended)
    }

    async fn finish(
        &self,
        run: &RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<(), StoreError> {
        let seen = self.see(std::slice::from_ref(&done));
        let finishing = self.store.finish(run, epoch, outcome, done);
        let finished = self.timed(finishing).await;
        self.tell(run, seen, finished)
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
        let is_let_go = beaten.is_ok() && lease.is_zero();
        if is_let_go {
            self.lost(run);
        }
        self.tell(run, Seen::default(), beaten)
    }

    async fn park(&self, run: &RunId, epoch: Epoch, wait: Duration) -> Result<(), StoreError> {
        let parked = self.store.park(run, epoch, wait).await;
        if parked.is_ok() {
            self.lost(run);
        }
        self.tell(run, Seen::default(), parked)
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

    async fn remove_patch(&self, run: &RunId, epoch: Epoch) -> Result<(), StoreError> {
        self.store.remove_patch(run, epoch).await
    }

    async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.patch(run).await
    }

    async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        self.store.cancel(run).await
    }

    async fn post(&self, message: NewMessage) -> Result<Posted, StoreError> {
        self.store.post(message).await
    }

    async fn messages(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        self.store.messages(run).await
    }

    async fn message(&self, id: &str) -> Result<Option<(RunId, Message)>, StoreError> {
        self.store.message(id).await
    }

    async fn follower(&self, run: &RunId) -> Result<Option<RunId>, StoreError> {
        self.store.follower(run).await
    }

    async fn keyed(&self, owner: Option<&str>, key: &str) -> Result<Option<RunId>, StoreError> {
        self.store.keyed(owner, key).await
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.get(run).await
    }

    async fn page(
        &self,
        filter: &RunFilter,
        after: Option<&RunPlace>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        self.store.page(filter, after, limit).await
    }

    async fn token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.token(run).await
    }

    async fn orphans(&self) -> Result<Vec<RunId>, StoreError> {
        self.store.orphans().await
    }
}

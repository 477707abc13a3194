//! Ends a run whose executor cannot: it panicked, hung, or died with its server.

use std::time::Duration;

use pullwright_core::log::stamp;
use pullwright_core::store::{Epoch, RunStore, StoreError};
use pullwright_protocol::{Event, Outcome, RunId, RunUsage};

/// How many events are read at a time.
const PAGE_EVENTS: usize = 512;

/// How often an ending is tried, and how long to wait in between: what the executor had queued may
/// still be on its way into the log, and a full disk may be freed.
const ATTEMPTS: u32 = 5;
const ATTEMPT_WAIT: Duration = Duration::from_millis(200);

/// How a run is ended from outside.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) why: &'static str,
}

impl Ending {
    /// Appends what is missing, `Done` last, unless the run has ended.
    pub(super) async fn write(
        &self,
        store: &dyn RunStore,
        run: &RunId,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_write(store, run, epoch).await {
                Err(StoreError::Database { .. }) if attempt < ATTEMPTS => {
                    tokio::time::sleep(ATTEMPT_WAIT).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn try_write(
        &self,
        store: &dyn RunStore,
        run: &RunId,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let record = store.get(run).await?;
        let record = record.ok_or_else(|| StoreError::UnknownRun(run.clone()))?;
        if record.outcome.is_some() {
            return Ok(());
        }
        let so_far = SoFar::read(store, run).await?;
        let mut events = Vec::new();
        if so_far.last_seq == 0 {
            events.push(Event::RunCreated {
                request: record.request,
            });
        }
        if let Outcome::Failed(kind) = self.outcome {
            events.push(Event::Error {
                kind,
                message: self.why.to_owned(),
                retrying: false,
                attempt: 1,
            });
        }
        let numbered = (so_far.last_seq + 1..).zip(events);
        let events: Vec<_> = numbered.map(|(seq, event)| stamp(seq, event)).collect();
        let done_seq = so_far.last_seq + 1 + events.len() as u64;
        if !events.is_empty() {
            store.append(run, epoch, events).await?;
        }
        let has_patch = store.patch(run).await?.is_some();
        let done = stamp(done_seq, self.done(so_far, has_patch));
        store.finish(run, epoch, self.outcome, done).await
    }

    fn done(&self, so_far: SoFar, has_patch: bool) -> Event {
        Event::Done {
            outcome: self.outcome,
            summary: self.why.to_owned(),
            pr_url: so_far.pr_url,
            branch: so_far.branch,
            has_patch,
            usage: so_far.usage,
        }
    }
}

/// What the log says of a run's results.
#[derive(Default)]
struct SoFar {
    last_seq: u64,
    pr_url: Option<String>,
    branch: Option<String>,
    usage: RunUsage,
}

impl SoFar {
    async fn read(store: &dyn RunStore, run: &RunId) -> Result<Self, StoreError> {
        let mut so_far = Self::default();
        loop {
            let page = store.read(run, so_far.last_seq, PAGE_EVENTS).await?;
            if page.is_empty() {
                return Ok(so_far);
            }
            for logged in page {
                so_far.last_seq = logged.seq;
                so_far.note(logged.event);
            }
        }
    }

    fn note(&mut self, event: Event) {
        self.usage.note(&event);
        match event {
            Event::BranchPushed { branch, .. } => self.branch = Some(branch),
            Event::PullRequestOpened { url, .. } => self.pr_url = Some(url),
            _ => {}
        }
    }
}

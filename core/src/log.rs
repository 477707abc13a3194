//! The event log of one run, as its owner writes it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pullwright_protocol::{Event, LoggedEvent, RunId};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::store::{Epoch, RunStore, StoreError};

/// How many batches may wait for the store before [`EventLog::emit`] waits too: keeps a run from
/// outgrowing memory while the disk is slow.
const QUEUED_BATCHES: usize = 256;

/// How many batches go into one append: keeps one run from holding the store's writer.
const JOINED_BATCHES: usize = 128;

/// How long an event may wait for the one that follows: less than a person notices, and longer than
/// most tool calls take.
const LONGEST_WAIT: Duration = Duration::from_millis(25);

/// How often an append that failed is tried again before the log counts as broken, and how long to
/// wait in between: a full disk may be freed.
const APPEND_RETRIES: u32 = 3;
const APPEND_RETRY_WAIT: Duration = Duration::from_millis(200);

/// Numbers a run's events and hands them to the store, in order and without loss.
///
/// Emitting does not wait for the commit, only for room in the queue. Before an effect that must
/// not happen twice, wait for [`EventLog::committed`].
#[derive(Clone)]
pub struct EventLog {
    queue: Arc<Mutex<Queue>>,
    committed: watch::Receiver<u64>,
    broken: CancellationToken,
    lost: CancellationToken,
}

/// The log of a run could not be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run's event log cannot be written; see the server's log for the store's error")]
pub struct LogBroken;

struct Queue {
    last_seq: u64,
    sender: mpsc::Sender<Batch>,
}

/// Events that are stored together.
struct Batch {
    events: Vec<LoggedEvent>,
    /// Whether a moment's delay costs nobody anything.
    may_wait: bool,
}

impl EventLog {
    /// Starts writing after `last_seq`, as the owner with this epoch.
    #[must_use]
    pub fn start(store: Arc<dyn RunStore>, run: RunId, epoch: Epoch, last_seq: u64) -> Self {
        let (sender, batches) = mpsc::channel(QUEUED_BATCHES);
        let (committed_sender, committed) = watch::channel(last_seq);
        let (broken, lost) = (CancellationToken::new(), CancellationToken::new());
        let writer = Writer {
            store,
            run,
            epoch,
            committed: committed_sender,
            broken: broken.clone(),
            lost: lost.clone(),
        };
        tokio::spawn(writer.write(batches));
        Self {
            queue: Arc::new(Mutex::new(Queue { last_seq, sender })),
            committed,
            broken,
            lost,
        }
    }

    /// Appends an event. Waits while the queue is full; once the log is broken, events are lost
    /// and the run is about to be ended by [`EventLog::broken`].
    pub async fn emit(&self, event: Event) {
        self.emit_all(vec![event]).await;
    }

    /// Appends events that belong together, as [`EventLog::emit`] does one; they cost one commit.
    pub async fn emit_all(&self, events: Vec<Event>) {
        self.queue(events, false).await;
    }

    /// Appends an event that another one follows soon, most of the time: both then cost one commit.
    pub async fn emit_soon(&self, event: Event) {
        self.queue(vec![event], true).await;
    }

    async fn queue(&self, events: Vec<Event>, may_wait: bool) {
        if events.is_empty() {
            return;
        }
        let mut queue = self.queue.lock().await;
        let first = queue.last_seq + 1;
        let last = queue.last_seq + events.len() as u64;
        let numbered = (first..).zip(events);
        let events = numbered.map(|(seq, event)| stamp(seq, event)).collect();
        if queue.sender.send(Batch { events, may_wait }).await.is_ok() {
            queue.last_seq = last;
        }
    }

    /// Waits until everything emitted so far is durable.
    ///
    /// # Errors
    /// When the store failed for good.
    pub async fn committed(&self) -> Result<u64, LogBroken> {
        let emitted = self.queue.lock().await.last_seq;
        let mut committed = self.committed.clone();
        let reached = committed.wait_for(|seq| *seq >= emitted).await;
        reached.map(|_| emitted).map_err(|_| LogBroken)
    }

    /// Fires when the run belongs to another owner now.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Fires when the store failed for good.
    #[must_use]
    pub fn broken(&self) -> &CancellationToken {
        &self.broken
    }
}

/// An event with its number and the time.
#[must_use]
pub fn stamp(seq: u64, event: Event) -> LoggedEvent {
    LoggedEvent {
        seq,
        at_ms: now_ms(),
        event,
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

struct Writer {
    store: Arc<dyn RunStore>,
    run: RunId,
    epoch: Epoch,
    committed: watch::Sender<u64>,
    broken: CancellationToken,
    lost: CancellationToken,
}

impl Writer {
    async fn write(self, mut batches: mpsc::Receiver<Batch>) {
        let mut waiting = Vec::new();
        while batches.recv_many(&mut waiting, JOINED_BATCHES).await > 0 {
            if waiting.iter().all(|batch| batch.may_wait) {
                let more = batches.recv_many(&mut waiting, JOINED_BATCHES);
                // Nothing is lost if nothing comes in time.
                let _ = tokio::time::timeout(LONGEST_WAIT, more).await;
            }
            let events: Vec<LoggedEvent> =
                waiting.drain(..).flat_map(|batch| batch.events).collect();
            let last = events.last().map_or(0, |event| event.seq);
            if let Err(error) = self.append(events).await {
                self.give_up(&error);
                return;
            }
            self.committed.send_replace(last);
        }
    }

    fn give_up(&self, error: &StoreError) {
        if let StoreError::Fenced(run) = error {
            tracing::warn!(%run, "another worker goes on with the run");
            self.lost.cancel();
            return;
        }
        tracing::error!(run = %self.run, %error, "the run's events cannot be stored");
        self.broken.cancel();
    }

    async fn append(&self, events: Vec<LoggedEvent>) -> Result<(), StoreError> {
        for _ in 0..APPEND_RETRIES {
            match self
                .store
                .append(&self.run, self.epoch, events.clone())
                .await
            {
                Err(StoreError::Database { .. }) => tokio::time::sleep(APPEND_RETRY_WAIT).await,
                answer => return answer,
            }
        }
        self.store.append(&self.run, self.epoch, events).await
    }
}

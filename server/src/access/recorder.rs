//! Writes the record of what was done, off the way of the requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at};

use super::audit::{Action, AuditEntry};
use super::refusals::Refusals;
use super::store::AccessStore;

/// How many entries may wait for the store; who adds another one waits, too.
const QUEUED_ENTRIES: usize = 1024;

/// How many are written at once.
const GROUP_ENTRIES: usize = 128;

/// How often refusals that came again are summed up.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

/// How often entries that the store did not take are tried, and how long to wait in between.
const ATTEMPTS: u32 = 5;
const ATTEMPT_WAIT: Duration = Duration::from_millis(500);

/// Hands entries to the store, in order. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Entry(AuditEntry),
    Flush(oneshot::Sender<()>),
}

impl Recorder {
    /// Starts writing to `store`, until the last clone is gone.
    #[must_use]
    pub fn start(store: Arc<dyn AccessStore>) -> Self {
        let (queue, messages) = mpsc::channel(QUEUED_ENTRIES);
        let writer = Writer {
            store,
            refusals: Refusals::default(),
        };
        tokio::spawn(writer.run(messages));
        Self { queue }
    }

    /// Records an entry soon.
    pub async fn add(&self, entry: AuditEntry) {
        // The writer only ends with its recorders.
        let _ = self.queue.send(Message::Entry(entry)).await;
    }

    /// Records an entry soon, unless too many wait already.
    pub fn offer(&self, entry: AuditEntry) {
        let _ = self.queue.try_send(Message::Entry(entry));
    }

    /// Waits until everything that was added is in the store.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

struct Writer {
    store: Arc<dyn AccessStore>,
    refusals: Refusals,
}

impl Writer {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut minute = interval_at(Instant::now() + SUMMARY_INTERVAL, SUMMARY_INTERVAL);
        let mut group = Vec::new();
        loop {
            tokio::select! {
                received = messages.recv_many(&mut group, GROUP_ENTRIES) => match received {
                    0 => break,
                    _ => self.write_group(&mut group).await,
                },
                _ = minute.tick() => self.write_summary().await,
            }
        }
        self.write_summary().await;
    }

    async fn write_group(&mut self, group: &mut Vec<Message>) {
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        for message in group.drain(..) {
            match message {
                Message::Entry(entry) if entry.action == Action::AccessRefused => {
                    entries.extend(self.refusals.note(entry));
                }
                Message::Entry(entry) => entries.push(entry),
                Message::Flush(done) => waiting.push(done),
            }
        }
        if !waiting.is_empty() {
            entries.extend(self.refusals.summary());
        }
        self.write(&entries).await;
        for done in waiting {
            let _ = done.send(());
        }
    }

    async fn write_summary(&mut self) {
        let summary = self.refusals.summary();
        self.write(&summary).await;
    }

    async fn write(&self, entries: &[AuditEntry]) {
        if entries.is_empty() {
            return;
        }
        for _ in 0..ATTEMPTS {
            match self.store.record(entries).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "writing down what was done failed"),
            }
            tokio::time::sleep(ATTEMPT_WAIT).await;
        }
        let lost = entries.len();
        tracing::error!(lost, "entries of the record of what was done are lost");
    }
}

//! What a run's sandboxes tell, on its way into the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::{Event, SandboxUsage, Stage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Run;
use crate::log::EventLog;
use crate::sandbox::SandboxNotice;

/// How many notices may wait for the log before the sandbox waits too.
const QUEUED_NOTICES: usize = 64;

impl Run<'_> {
    /// Where a sandbox tells what happens in it.
    pub(super) fn open_notices(&mut self) -> mpsc::Sender<SandboxNotice> {
        let (sender, notices) = mpsc::channel(QUEUED_NOTICES);
        self.notices.push(tokio::spawn(record(
            self.log.clone(),
            self.used.clone(),
            notices,
        )));
        sender
    }

    /// Waits until everything that was told is in the log: nothing may follow the last event.
    pub(super) async fn end_notices(&mut self, wait: std::time::Duration) {
        for recording in std::mem::take(&mut self.notices) {
            finish(recording, wait).await;
        }
    }
}

async fn finish(mut recording: JoinHandle<()>, wait: std::time::Duration) {
    // A sandbox that could not be closed still holds its sender.
    if tokio::time::timeout(wait, &mut recording).await.is_err() {
        recording.abort();
        let _ = recording.await;
    }
}

async fn record(log: EventLog, used: Used, mut notices: mpsc::Receiver<SandboxNotice>) {
    while let Some(notice) = notices.recv().await {
        if let SandboxNotice::Used(more) = notice {
            used.add(more);
        }
        log.emit(event(notice)).await;
    }
}

/// What all sandboxes of a run used, if any said so.
#[derive(Clone)]
pub(super) struct Used(Arc<Mutex<Option<SandboxUsage>>>);

impl Used {
    /// After what those of earlier owners used.
    pub(super) fn after(before: Option<SandboxUsage>) -> Self {
        Self(Arc::new(Mutex::new(before)))
    }

    fn add(&self, more: SandboxUsage) {
        *self.lock().get_or_insert_default() += more;
    }

    pub(super) fn sum(&self) -> Option<SandboxUsage> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<SandboxUsage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(notice: SandboxNotice) -> Event {
    match notice {
        SandboxNotice::Network(access) => Event::NetworkAccessed { access },
        SandboxNotice::Warning(message) | SandboxNotice::Progress(message) => Event::Status {
            stage: Stage::Sandbox,
            message,
        },
        SandboxNotice::Used(used) => Event::SandboxUsed { used },
    }
}

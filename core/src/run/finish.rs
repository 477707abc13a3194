//! Finish: whatever happened, the patch is kept, everything is given back, and `Done` is said.

use std::time::Duration;

use pullwright_protocol::{Event, FailureKind, Outcome};

use super::{Ended, Run};
use crate::agent::Halt;
use crate::log::stamp;

/// How long saving the work of an interrupted run may take.
const SALVAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long closing a sandbox may take before it is left to the next start's sweep.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the last event is tried to be stored.
const DONE_RETRIES: u32 = 5;
const DONE_RETRY_WAIT: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) async fn finish(mut self, ended: Result<Ended, Halt>) {
        if ended.is_err() {
            self.salvage().await;
        }
        self.close_sandbox().await;
        self.host_servers.clear();
        self.forge = None;
        let ended = match ended {
            Ok(ended) => ended,
            Err(halt) => self.explain(halt).await,
        };
        self.discard().await;
        self.say_done(ended).await;
    }

    /// Saves what an interrupted run changed, where there is something to save.
    async fn salvage(&mut self) {
        let Some(base) = self.base.clone() else {
            return;
        };
        if self.sandbox.is_none() || self.work.is_some() && self.branch.is_some() {
            return;
        }
        match tokio::time::timeout(SALVAGE_TIMEOUT, self.take_in(&base)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(run = %self.owned.id, %error, "no patch could be saved");
            }
            Err(_) => tracing::warn!(run = %self.owned.id, "saving the patch took too long"),
        }
    }

    /// Kills every process of the run and removes the workspace.
    pub(super) async fn close_sandbox(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            match tokio::time::timeout(CLOSE_TIMEOUT, sandbox.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(run = %self.owned.id, %error, "the sandbox did not close");
                }
                Err(_) => tracing::warn!(run = %self.owned.id, "closing the sandbox took too long"),
            }
        }
        let workspace = self.run_dir().join("workspace");
        match tokio::fs::remove_dir_all(&workspace).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(run = %self.owned.id, %error, "the workspace could not be removed");
            }
            _ => {}
        }
    }

    async fn explain(&self, halt: Halt) -> Ended {
        let summary = halt.to_string();
        let outcome = match halt {
            Halt::Cancelled => Outcome::Cancelled,
            Halt::Budget(_) => Outcome::BudgetReached,
            Halt::Failed(kind, message) => {
                self.log.emit(final_error(kind, message)).await;
                Outcome::Failed(kind)
            }
        };
        Ended { outcome, summary }
    }

    async fn discard(&self) {
        if let Err(error) = self.parts.source.discard(&self.owned.id).await {
            tracing::warn!(run = %self.owned.id, %error, "the run's git folders were not removed");
        }
        let dir = self.run_dir();
        if let Err(error) = tokio::fs::remove_dir_all(&dir).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(run = %self.owned.id, %error, "the run's folder was not removed");
        }
    }

    async fn say_done(&self, ended: Ended) {
        let has_patch = self.work.as_ref().is_some_and(|work| !work.is_empty());
        let done = Event::Done {
            outcome: ended.outcome,
            summary: ended.summary,
            pr_url: self.pr_url.clone(),
            branch: self.branch.clone(),
            has_patch,
            usage: self.budget.usage(),
        };
        let Ok(last) = self.log.committed().await else {
            return;
        };
        let done = stamp(last + 1, done);
        let (store, id, epoch) = (&self.parts.store, &self.owned.id, self.owned.epoch);
        for _ in 0..DONE_RETRIES {
            match store.finish(id, epoch, ended.outcome, done.clone()).await {
                Ok(()) => return,
                Err(error) => tracing::error!(run = %id, %error, "the run's end was not stored"),
            }
            tokio::time::sleep(DONE_RETRY_WAIT).await;
        }
    }
}

fn final_error(kind: FailureKind, message: String) -> Event {
    Event::Error {
        kind,
        message,
        retrying: false,
        attempt: 1,
    }
}

//! Finish: whatever happened, the patch is kept, everything is given back, and `Done` is said.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pullwright_protocol::{Event, FailureKind, Outcome, RunUsage};

use super::keep::Taking;
use super::left::{self, REMOVAL_PREFIX};
use super::{Ended, Executed, Run};
use crate::agent::Halt;
use crate::log::{now_ms, stamp};
use crate::removal::remove_tree;

/// How long saving the work of an interrupted run may take.
const SALVAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long closing a sandbox may take before it is left to the next start's sweep.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the end of a run waits for what its sandboxes still have to tell.
pub(super) const NOTICES_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of a run waits for a folder to be removed.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the last event is tried to be stored.
const DONE_RETRIES: u32 = 5;
const DONE_RETRY_WAIT: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) async fn finish(mut self, ended: Result<Ended, Halt>) -> Executed {
        let is_lost = self.log.lost().is_cancelled();
        if is_lost || matches!(ended, Err(Halt::HandedOver)) {
            self.hand_over().await;
            return Executed::HandedOver;
        }
        let ended = match ended {
            Err(Halt::Later(later)) => match self.may_wait(later) {
                Ok(later) => return self.park(later).await,
                // What it waits for then is no more than labels and people.
                Err(halt) if self.pr_url.is_some() => {
                    self.tell_without_details(&halt).await;
                    Ok(self.ended_in_pull_request())
                }
                Err(halt) => Err(halt),
            },
            ended => ended,
        };
        self.end(ended).await;
        Executed::Ended
    }

    /// Leaves everything where another owner finds it.
    async fn hand_over(mut self) {
        self.leave_sandbox().await;
        self.give_up_sandboxes().await;
        self.end_notices(NOTICES_TIMEOUT).await;
        // The next owner goes on from what is durable.
        let _ = self.log.committed().await;
    }

    pub(super) async fn leave_sandbox(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            let left = tokio::time::timeout(CLOSE_TIMEOUT, sandbox.leave()).await;
            if !matches!(left, Ok(Ok(()))) {
                tracing::warn!(run = %self.owned.id, "the sandbox was not left well");
            }
        }
    }

    async fn end(mut self, ended: Result<Ended, Halt>) {
        let ended = ended.map_err(|halt| self.blame_sandbox(halt));
        if ended.is_err() {
            self.salvage().await;
        }
        if let Err(error) = self.close_sandbox().await {
            tracing::warn!(run = %self.owned.id, %error, "the sandbox did not close");
        }
        self.give_up_sandboxes().await;
        if self.is_left_behind {
            let notices = self.open_notices();
            left::clean_up(self.parts, &self.owned.id, notices).await;
        }
        self.host_servers.clear();
        self.forge = None;
        let ended = match ended {
            Ok(ended) => ended,
            Err(halt) => self.explain(halt).await,
        };
        self.discard().await;
        self.end_notices(NOTICES_TIMEOUT).await;
        self.say_done(ended).await;
    }

    /// A sandbox that is gone is why something in it failed.
    fn blame_sandbox(&self, halt: Halt) -> Halt {
        let lost = self.sandbox.as_ref().and_then(|sandbox| sandbox.lost());
        match (halt, lost) {
            (
                Halt::Failed(FailureKind::ToolServer | FailureKind::Setup | FailureKind::Export, _),
                Some(lost),
            ) => lost.into(),
            (halt, _) => halt,
        }
    }

    /// Saves what an interrupted run changed, where there is something to save.
    async fn salvage(&mut self) {
        // Otherwise the workspace holds what setup and checks left behind, and no work.
        if !self.unsaved || self.sandbox.is_none() {
            return;
        }
        let Some(base) = self.base.clone() else {
            return;
        };
        match tokio::time::timeout(SALVAGE_TIMEOUT, self.take_in(&base, Taking::ToSalvage)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(run = %self.owned.id, %error, "no patch could be saved");
            }
            Err(_) => tracing::warn!(run = %self.owned.id, "saving the patch took too long"),
        }
    }

    /// Kills every process of the run and removes the workspace. An error means that a process may
    /// still be alive.
    pub(super) async fn close_sandbox(&mut self) -> Result<(), Halt> {
        let Some(sandbox) = self.sandbox.take() else {
            return Ok(());
        };
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, sandbox.close()).await;
        closed.map_err(|_| {
            let seconds = CLOSE_TIMEOUT.as_secs();
            let message = format!("closing the sandbox took over {seconds} s");
            Halt::Failed(FailureKind::Sandbox, message)
        })??;
        self.remove_workspace().await;
        Ok(())
    }

    /// Sandboxes that were being opened when the run was interrupted end as well.
    pub(super) async fn give_up_sandboxes(&self) {
        let over = self.parts.sandboxes.over(&self.owned.id);
        if tokio::time::timeout(CLOSE_TIMEOUT, over).await.is_err() {
            tracing::warn!(run = %self.owned.id, "ending the run's sandboxes takes long");
        }
    }

    /// Removes the workspace, which the model may have made as deep and as closed as it liked. It is
    /// out of the way at once, so that it cannot stand in the way of a clean checkout.
    pub(super) async fn remove_workspace(&self) {
        self.remove("workspace").await;
    }

    /// Removes what an earlier owner of the run had begun to remove.
    pub(super) async fn go_on_removing(&self) {
        let Ok(mut entries) = tokio::fs::read_dir(self.run_dir()).await else {
            return;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(REMOVAL_PREFIX) {
                self.remove(&name).await;
            }
        }
    }

    async fn remove(&self, name: &str) {
        let folder = self.run_dir().join(name);
        let beside = self.run_dir().join(format!("{REMOVAL_PREFIX}{}", now_ms()));
        let removing = tokio::task::spawn_blocking(move || remove_tree(&folder, &beside));
        let run = &self.owned.id;
        match tokio::time::timeout(REMOVE_TIMEOUT, removing).await {
            Ok(Ok(Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%run, %error, name, "a folder of the run was not removed");
            }
            Ok(_) => {}
            Err(_) => tracing::warn!(%run, name, "removing a folder of the run takes long"),
        }
    }

    async fn explain(&self, halt: Halt) -> Ended {
        let summary = halt.to_string();
        let outcome = match halt {
            Halt::Cancelled => Outcome::Cancelled,
            Halt::HandedOver | Halt::Later(_) => Outcome::Failed(FailureKind::Interrupted),
            Halt::Budget(_) => Outcome::BudgetReached,
            Halt::Failed(kind, message) => {
                self.log.emit(final_error(kind, message)).await;
                Outcome::Failed(kind)
            }
        };
        Ended { outcome, summary }
    }

    async fn discard(&self) {
        let discarding = self.parts.source.discard(&self.owned.id);
        match tokio::time::timeout(REMOVE_TIMEOUT, discarding).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(run = %self.owned.id, %error, "the run's git folders were not removed");
            }
            Err(_) => tracing::warn!(run = %self.owned.id, "removing the git folders takes long"),
        }
        // What could not be removed of the workspace is left for a person to look at.
        if let Err(error) = tokio::fs::remove_dir(self.run_dir()).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(run = %self.owned.id, %error, "the run's folder was not removed");
        }
    }

    async fn say_done(&self, ended: Ended) {
        let has_patch = match &self.work {
            Some(work) => !work.is_empty(),
            None => self.is_kept.load(Ordering::Relaxed),
        };
        let done = Event::Done {
            outcome: ended.outcome,
            summary: ended.summary,
            pr_url: self.pr_url.clone(),
            branch: self.pushed.as_ref().map(|pushed| pushed.branch.clone()),
            has_patch,
            usage: RunUsage {
                sandbox: self.used.sum(),
                ..self.budget.usage()
            },
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

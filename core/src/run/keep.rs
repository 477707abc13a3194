//! Takes the work out of the sandbox and keeps its patch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pullwright_protocol::{Event, FailureKind, RunId, Stage};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

use super::{OwnedRun, Run};
use crate::agent::Halt;
use crate::log::EventLog;
use crate::sandbox::{Sandbox, SandboxCommand};
use crate::source::{Base, Source, Work};
use crate::store::{Epoch, RunStore};

/// How long taking the work out may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(300);

/// How much of the exporter's standard error is kept, in bytes.
const MAX_EXPORT_ERROR_BYTES: u64 = 4096;

/// When work is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// After a turn of the model, which goes on.
    AfterTurn,
    /// When the model has nothing more to do.
    AtEnd,
    /// When the run ends before that: what is there is kept, and is nothing to publish.
    ToSalvage,
}

/// Takes the work out of a run's sandbox.
pub(super) struct Keeper {
    source: Arc<dyn Source>,
    store: Arc<dyn RunStore>,
    sandbox: Arc<dyn Sandbox>,
    log: EventLog,
    run: RunId,
    epoch: Epoch,
    base: Base,
    is_kept: Arc<AtomicBool>,
}

impl Run<'_> {
    /// Takes the work out of the sandbox and stores its patch.
    pub(super) async fn take_in(&mut self, base: &Base, taking: Taking) -> Result<(), Halt> {
        let keeper = self.keeper(base)?;
        let work = tokio::time::timeout(EXPORT_TIMEOUT, keeper.take_in(taking)).await;
        let work = work.map_err(|_| {
            let seconds = EXPORT_TIMEOUT.as_secs();
            let message = format!("taking the work out of the sandbox took over {seconds} s");
            Halt::Failed(FailureKind::Export, message)
        })??;
        self.work = Some(work);
        self.unsaved = false;
        Ok(())
    }

    /// Stores a patch that is not of the sandbox.
    pub(super) async fn store_patch(&self, patch: &[u8]) -> Result<(), Halt> {
        let OwnedRun { id, epoch, .. } = &self.owned;
        self.parts.store.put_patch(id, *epoch, patch).await?;
        self.is_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn keeper(&self, base: &Base) -> Result<Keeper, Halt> {
        Ok(Keeper {
            source: Arc::clone(&self.parts.source),
            store: Arc::clone(&self.parts.store),
            sandbox: self.sandbox()?,
            log: self.log.clone(),
            run: self.owned.id.clone(),
            epoch: self.owned.epoch,
            base: base.clone(),
            is_kept: Arc::clone(&self.is_kept),
        })
    }
}

impl Keeper {
    /// Keeps the work each time it may have changed, for ever: a lost sandbox then costs little. What
    /// cannot be taken out now may be later.
    pub(super) async fn keep_up(&self, changed: &Notify) {
        loop {
            changed.notified().await;
            let kept = tokio::time::timeout(EXPORT_TIMEOUT, self.take_in(Taking::AfterTurn)).await;
            match kept {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(run = %self.run, %error, "the work was not kept"),
                Err(_) => tracing::warn!(run = %self.run, "keeping the work took too long"),
            }
        }
    }

    async fn take_in(&self, taking: Taking) -> Result<Work, Halt> {
        let (work, notices) = self.export().await?;
        if taking != Taking::AfterTurn {
            self.tell(&notices).await;
        }
        if work.is_empty() {
            self.forget().await?;
            return Ok(work);
        }
        let stored = self.store.put_patch(&self.run, self.epoch, &work.patch);
        stored.await?;
        self.is_kept.store(true, Ordering::Relaxed);
        let event = Event::PatchStored {
            bytes: work.patch.len() as u64,
            files: work.changed.len() as u64,
            tree: work.tree.clone(),
            during_work: taking != Taking::AtEnd,
        };
        self.log.emit(event).await;
        Ok(work)
    }

    /// Removes the patch of a change that was taken back.
    async fn forget(&self) -> Result<(), Halt> {
        if self.is_kept.load(Ordering::Relaxed) {
            self.store.remove_patch(&self.run, self.epoch).await?;
            self.is_kept.store(false, Ordering::Relaxed);
            self.log.emit(Event::PatchRemoved).await;
        }
        Ok(())
    }

    /// The work, and what a person should know about it.
    async fn export(&self) -> Result<(Work, String), Halt> {
        let (sandbox, base) = (&self.sandbox, &self.base);
        let host = sandbox.tool_host().to_string_lossy().into_owned();
        let argv = [host.as_str(), "tool-host", "export", "--base", &base.commit];
        let process = sandbox.spawn(SandboxCommand::new(argv)).await?;
        drop(process.stdin);
        let (source, mut bundle) = (&self.source, process.stdout);
        let taking = async {
            let work = source.take_in(&self.run, base, &mut bundle).await;
            // A bundle that is refused is not read to its end; the exporter must not wait for that.
            drop(bundle);
            work
        };
        let (work, complaint) = tokio::join!(taking, read_head(process.stderr));
        let exit = process.exit.await;
        let exported = exit.is_ok_and(|exit| exit.shell_code() == 0);
        match work {
            Ok(work) if exported => Ok((work, complaint)),
            Err(refused) if exported || complaint.trim().is_empty() => Err(refused.into()),
            work => {
                let (kind, refused) = match work {
                    Ok(_) => (FailureKind::Export, String::new()),
                    Err(refused) => (refused.kind, format!("{refused}; ")),
                };
                let message = format!(
                    "the work could not be taken out of the sandbox: {refused}{}",
                    complaint.trim()
                );
                Err(Halt::Failed(kind, message))
            }
        }
    }

    async fn tell(&self, notices: &str) {
        let told = notices.lines().map(|notice| Event::Status {
            stage: Stage::Work,
            message: notice.to_owned(),
        });
        self.log.emit_all(told.collect()).await;
    }
}

/// The beginning of a process's standard error. The rest is read too, so that the process does not
/// wait for ever to get rid of it.
async fn read_head(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut head = Vec::new();
    let _ = (&mut stderr)
        .take(MAX_EXPORT_ERROR_BYTES)
        .read_to_end(&mut head)
        .await;
    let left_out = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let mut text = String::from_utf8_lossy(&head).into_owned();
    if left_out.is_ok_and(|bytes| bytes > 0) {
        text.push_str("\n[...]");
    }
    text
}

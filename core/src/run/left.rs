//! What owners that died have left on this machine is given back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pullwright_protocol::{Event, RunId};
use tokio::sync::mpsc;

use super::RunParts;
use crate::log::now_ms;
use crate::removal::remove_tree;
use crate::sandbox::{SandboxHandle, SandboxNotice};

/// How a folder is called that is being removed.
pub(super) const REMOVAL_PREFIX: &str = "removal-";

/// How long finding and closing the sandbox of another owner may take.
const CLOSE_LEFT_TIMEOUT: Duration = Duration::from_secs(90);

/// How many events are read at once while looking for the sandbox.
const PAGE_EVENTS: usize = 512;

/// Where a sandbox tells what nobody records.
pub(super) fn unheard() -> mpsc::Sender<SandboxNotice> {
    mpsc::channel(1).0
}

/// Gives back what a run has on this machine: its sandbox, its folders, its quarantine.
pub(super) async fn clean_up(parts: &RunParts, run: &RunId, notices: mpsc::Sender<SandboxNotice>) {
    if let Some(handle) = last_sandbox(parts, run).await {
        close_left(parts, run, &handle, notices).await;
    }
    parts.sandboxes.end_deserted(run);
    if let Err(error) = parts.source.discard(run).await {
        tracing::warn!(%run, %error, "the run's git folders were not removed");
    }
    let folder = parts.runs_dir.join(&run.0);
    remove(folder, &parts.runs_dir, &run.0).await;
}

/// Removes what dead servers had begun to remove.
pub(super) async fn sweep(parts: &RunParts) {
    // All are listed before this server removes anything itself.
    let entries = std::fs::read_dir(&parts.runs_dir).into_iter().flatten();
    let found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for folder in found {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if let Some(what) = name.strip_prefix(REMOVAL_PREFIX) {
            remove(folder.clone(), &parts.runs_dir, what).await;
        }
    }
}

async fn remove(folder: PathBuf, runs_dir: &Path, name: &str) {
    let beside = runs_dir.join(format!("{REMOVAL_PREFIX}{name}-{}", now_ms()));
    let removed = tokio::task::spawn_blocking(move || remove_tree(&folder, &beside)).await;
    match removed {
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(name, %error, "what is left of a run was not removed");
        }
        _ => {}
    }
}

/// Closes a sandbox that another owner left. One that cannot be found any more has nothing left to close.
pub(super) async fn close_left(
    parts: &RunParts,
    run: &RunId,
    handle: &SandboxHandle,
    notices: mpsc::Sender<SandboxNotice>,
) {
    let closing = async {
        let sandbox = parts.sandboxes.attach(handle, notices).await.ok()?;
        sandbox.close().await.err()
    };
    match tokio::time::timeout(CLOSE_LEFT_TIMEOUT, closing).await {
        Ok(None) => {}
        Ok(Some(error)) => {
            tracing::warn!(%run, %error, "the sandbox of a dead server did not close");
        }
        Err(_) => tracing::warn!(%run, "closing the sandbox of a dead server takes long"),
    }
}

/// The sandbox a run used last, as its log has it.
async fn last_sandbox(parts: &RunParts, run: &RunId) -> Option<SandboxHandle> {
    let (mut after, mut found) = (0, None);
    loop {
        let events = parts.store.read(run, after, PAGE_EVENTS).await.ok()?;
        let Some(last) = events.last() else {
            return found;
        };
        after = last.seq;
        for logged in events {
            if let Event::SandboxOpened { kind, handle, .. } = logged.event {
                found = Some(SandboxHandle { kind, data: handle });
            }
        }
    }
}

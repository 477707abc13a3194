//! One writer per mirror: a mutex within the process, a file lock between processes.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout_at};

/// How often a file lock that another process holds is tried.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

type Slot = Arc<tokio::sync::Mutex<()>>;

/// The locks of all mirrors in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks {
    slots: Arc<Mutex<HashMap<PathBuf, Slot>>>,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
    _slot: OwnedMutexGuard<()>,
}

impl Locks {
    /// Waits for the mirror's lock, at most so long.
    pub(crate) async fn hold(&self, mirror: &Path, limit: Duration) -> Result<Held, SourceError> {
        let deadline = Instant::now() + limit;
        let slot = timeout_at(deadline, self.slot(mirror).lock_owned())
            .await
            .map_err(|_| waited(limit))?;
        let file = open(mirror)?;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Held {
                        _file: file,
                        _slot: slot,
                    });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    sleep(RETRY_INTERVAL).await;
                }
                Err(TryLockError::WouldBlock) => return Err(waited(limit)),
                Err(TryLockError::Error(error)) => return Err(broken(mirror, &error)),
            }
        }
    }

    /// The mirror's lock, if nobody has it.
    pub(crate) fn try_hold(&self, mirror: &Path) -> Option<Held> {
        let slot = self.slot(mirror).try_lock_owned().ok()?;
        let file = open(mirror).ok()?;
        file.try_lock().ok()?;
        Some(Held {
            _file: file,
            _slot: slot,
        })
    }

    fn slot(&self, mirror: &Path) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        slots.entry(mirror.to_owned()).or_default().clone()
    }
}

fn open(mirror: &Path) -> Result<File, SourceError> {
    let path = mirror.with_extension("lock");
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| broken(&path, &error))
}

fn waited(limit: Duration) -> SourceError {
    SourceError::new(
        FailureKind::Limit,
        format!(
            "another fetch of the same repository took more than {} s; try again later",
            limit.as_secs()
        ),
    )
}

fn broken(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::new(
        FailureKind::Internal,
        format!("the lock `{}` cannot be taken: {error}", path.display()),
    )
}

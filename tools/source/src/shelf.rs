//! The room that all mirrors have together: those that were used last stay, the others go when it is short.
//!
//! A run needs its mirror from its fetch to its end, and says so with each thing it does with it. One that was used
//! so recently that a run may still be at work on it is left alone, and so is one whose objects a quarantine borrows.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::config::SourceConfig;
use crate::git::folder_size;
use crate::locks::Locks;
use crate::objects;
use crate::quarantine;
use crate::source::GitSource;

/// Notes that a mirror is in use. Its lock file, which outlives it, keeps the time.
pub(crate) fn note_use(mirror: &Path) {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(mirror.with_extension("lock"));
    // Where that cannot be written, the lock cannot be taken either, and that is told.
    let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
}

/// Which of the mirrors it is that have been at this place, one after the other. The lock beside it knows.
pub(crate) fn generation(mirror: &Path) -> u64 {
    let said = std::fs::read_to_string(mirror.with_extension("lock")).unwrap_or_default();
    said.trim().parse().unwrap_or_default()
}

/// Removes a mirror that is of no use, unless that is done already: the one that is there now is another one.
pub(crate) async fn throw_away(
    source: &GitSource,
    mirror: &Path,
    seen: u64,
) -> Result<(), SourceError> {
    let limit = source.config().timeouts.fetch;
    let _held = source.locks().hold(mirror, limit).await?;
    let (data_dir, mirror) = (source.config().data_dir.clone(), mirror.to_owned());
    objects::blocking(move || {
        if generation(&mirror) != seen {
            return Ok(());
        }
        let next = seen.wrapping_add(1).to_string();
        let removed = std::fs::write(mirror.with_extension("lock"), next)
            .and_then(|()| remove(&data_dir, &mirror));
        removed.map_err(|error| {
            SourceError::new(
                FailureKind::Internal,
                format!(
                    "the damaged mirror `{}` cannot be removed: {error}; remove it by hand",
                    mirror.display()
                ),
            )
        })
    })
    .await
}

/// Sees to it that a fetch leaves the disk enough space, with fewer mirrors if need be.
pub(crate) async fn make_room(source: &GitSource) -> Result<(), SourceError> {
    let (config, locks) = (source.config().clone(), source.locks().clone());
    objects::blocking(move || {
        let short = || free(&config.data_dir).is_some_and(|free| free < config.min_free_bytes);
        if short() {
            evict(&config, &locks, |_| short());
        }
        match free(&config.data_dir) {
            Some(free) if free < config.min_free_bytes => Err(SourceError::new(
                FailureKind::Limit,
                format!(
                    "the disk of `{}` has {} MiB left, less than the {} MiB that a fetch leaves free; make room, or \
                     lower `[repositories] min_free_mb`",
                    config.data_dir.display(),
                    free >> 20,
                    config.min_free_bytes >> 20
                ),
            )),
            _ => Ok(()),
        }
    })
    .await
}

/// Removes what the mirrors have too much of together, in the background of whoever has just added to it.
pub(crate) async fn tidy_up(source: &GitSource) {
    let (config, locks) = (source.config().clone(), source.locks().clone());
    let tidied = objects::blocking(move || {
        shrink(&config, &locks);
        Ok(())
    });
    let _ = tidied.await;
}

/// The same at the start of a server.
pub(crate) fn shrink(config: &SourceConfig, locks: &Locks) {
    let max = config.mirror_cache_bytes;
    evict(config, locks, |bytes| bytes > max);
}

/// A mirror on the shelf.
struct Kept {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Removes mirrors, the one that was used longest ago first, as long as those that are left are too many.
fn evict(config: &SourceConfig, locks: &Locks, is_too_much: impl Fn(u64) -> bool) {
    let mut all = mirrors(&config.data_dir);
    all.sort_by_key(|kept| kept.used);
    let mut bytes: u64 = all.iter().map(|kept| kept.bytes).sum();
    if !is_too_much(bytes) {
        return;
    }
    let borrowed = borrowed(&config.data_dir);
    for kept in all {
        if !is_too_much(bytes) {
            return;
        }
        if borrowed.contains(&kept.path) || !is_idle(&kept.path, config.mirror_idle) {
            continue;
        }
        // Whoever holds it is at work on it.
        let Some(_held) = locks.try_hold(&kept.path) else {
            continue;
        };
        if !is_idle(&kept.path, config.mirror_idle) {
            continue;
        }
        match remove(&config.data_dir, &kept.path) {
            Ok(()) => {
                bytes = bytes.saturating_sub(kept.bytes);
                tracing::info!(mirror = %kept.path.display(), bytes = kept.bytes, "a mirror made room");
            }
            Err(error) => {
                tracing::warn!(mirror = %kept.path.display(), %error, "a mirror cannot be removed");
            }
        }
    }
}

fn mirrors(data_dir: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(data_dir.join("mirrors"));
    let paths = entries.into_iter().flatten().flatten();
    let paths = paths.map(|entry| entry.path()).filter(|path| path.is_dir());
    paths
        .map(|path| Kept {
            used: used(&path),
            bytes: folder_size(&path),
            path,
        })
        .collect()
}

fn used(mirror: &Path) -> SystemTime {
    let noted = mirror.with_extension("lock").metadata();
    noted
        .and_then(|noted| noted.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn is_idle(mirror: &Path, idle: Duration) -> bool {
    let since = SystemTime::now().duration_since(used(mirror));
    since.is_ok_and(|since| since >= idle)
}

/// The mirrors whose objects the quarantine of some run reads.
fn borrowed(data_dir: &Path) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(data_dir.join("runs"));
    let runs = runs.into_iter().flatten().flatten();
    let lenders = runs.flat_map(|run| quarantine::lenders(&run.path()));
    lenders.collect()
}

/// Out of sight at once, then piece by piece.
pub(crate) fn remove(data_dir: &Path, mirror: &Path) -> std::io::Result<()> {
    let trash = data_dir.join("trash");
    std::fs::create_dir_all(&trash)?;
    let aside = tempfile::Builder::new()
        .prefix("mirror-")
        .tempdir_in(&trash)?;
    match std::fs::rename(mirror, aside.path().join("mirror")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => aside.close(),
    }
}

/// What the disk has left for us, in bytes; unknown where the system does not say.
fn free(data_dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(data_dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

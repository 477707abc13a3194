//! Removes the groups that a killed server left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::group::{destroy, recorded};
use super::lock::{self, Lock};

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Groups that nobody owned, which are gone now.
    pub removed: usize,
    /// Groups that somebody owns.
    pub owned: usize,
    /// What could not be removed, and why.
    pub failed: Vec<(PathBuf, io::Error)>,
}

pub(super) fn sweep(locks: &Path) -> Swept {
    let mut swept = Swept::default();
    if !locks.exists() {
        return swept;
    }
    let listed = lock::check(locks).and_then(|()| fs::read_dir(locks));
    let entries = match listed {
        Ok(entries) => entries,
        Err(error) => {
            swept.failed.push((locks.to_owned(), error));
            return swept;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        match sweep_one(&path) {
            Ok(true) => swept.removed += 1,
            Ok(false) => swept.owned += 1,
            Err(error) => swept.failed.push((path, error)),
        }
    }
    swept
}

/// Whether nobody owned it. The lock is held meanwhile, so that nobody takes it over half removed.
fn sweep_one(path: &Path) -> io::Result<bool> {
    let Some(lock) = Lock::take_existing(path)? else {
        return Ok(false);
    };
    let folders = recorded(&lock)?;
    destroy(&folders)?;
    for all in folders.iter().filter_map(|folder| folder.parent()) {
        // It fails as long as another sandbox has a group there.
        let _ = fs::remove_dir(all);
    }
    lock.forget()?;
    Ok(true)
}

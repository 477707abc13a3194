//! One writer per file at a time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files share this many locks, so the table never grows; two files on one lock only wait for each
/// other.
const STRIPES: usize = 64;

/// The locks of all files.
#[derive(Debug)]
pub(crate) struct Locks([Mutex<()>; STRIPES]);

impl Default for Locks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Locks {
    /// Waits until nobody else in this process writes the file at `path`, which must be its real
    /// path, without symlinks. Writers hold it only while they read and write one bounded file.
    pub(crate) fn lock(&self, path: &Path) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any stripe will do")]
        let stripe = hasher.finish() as usize % STRIPES;
        // The lock guards no data of its own, so a panic under it leaves nothing half done.
        self.0[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

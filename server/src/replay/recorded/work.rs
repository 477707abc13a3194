//! Work as it is recorded.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pullwright_core::source::{Base, ChangedPath, Work};
use pullwright_protocol::Event;

/// The trees of a log, one after the other; which paths they changed is not recorded.
pub(in crate::replay) struct RecordedWork {
    /// The trees, and how many files changed.
    taken: Mutex<VecDeque<(String, u64)>>,
    patch: Vec<u8>,
}

impl RecordedWork {
    /// The work of a log, whose last patch is `patch`.
    #[must_use]
    pub(in crate::replay) fn new(events: &[Event], patch: Vec<u8>) -> Self {
        let taken = events.iter().filter_map(|event| match event {
            Event::PatchStored {
                tree,
                files,
                during_work: false,
                ..
            } => Some((tree.clone(), *files)),
            _ => None,
        });
        Self {
            taken: Mutex::new(taken.collect()),
            patch,
        }
    }

    /// What is taken in next, on this base: nothing has changed where the log has no more.
    #[must_use]
    pub(in crate::replay) fn next(&self, base: &Base) -> Work {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let next = taken.pop_front();
        let (tree, files) = next.unwrap_or_else(|| (base.tree.clone(), 0));
        // Only how many there are is recorded.
        let changed = (1..=files).map(|number| ChangedPath {
            path: format!("recorded change {number}"),
            status: 'M',
        });
        Work {
            tree,
            changed: changed.collect(),
            patch: self.patch.clone(),
            refusals: Vec::new(),
            notices: Vec::new(),
            quarantine: base.mirror.clone(),
        }
    }
}

//! A source whose work is as it is recorded.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pullwright_core::source::{
    Base, ChangedPath, CheckoutFiles, Fetch, Push, Pushed, Repository, Source, SourceError, Work,
};
use pullwright_protocol::{Event, FailureKind, RunId};
use tokio::io::AsyncRead;

/// A source of which only the base's files are real: nothing is checked out, and what is taken in are the
/// recorded trees, one after the other.
pub(in crate::replay) struct RecordedWork {
    source: Arc<dyn Source>,
    /// The trees, and how many files changed.
    taken: Mutex<VecDeque<(String, u64)>>,
    patch: Vec<u8>,
}

impl RecordedWork {
    /// The work of a log, whose last patch is `patch`.
    #[must_use]
    pub(in crate::replay) fn new(
        source: Arc<dyn Source>,
        events: &[Event],
        patch: Vec<u8>,
    ) -> Self {
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
            source,
            taken: Mutex::new(taken.collect()),
            patch,
        }
    }
}

#[async_trait]
impl Source for RecordedWork {
    fn accept(&self, url: &str) -> Result<Repository, SourceError> {
        self.source.accept(url)
    }

    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Base, SourceError> {
        self.source.fetch(fetch).await
    }

    async fn checkout(
        &self,
        _: &Base,
        _: Option<&Work>,
        _: CheckoutFiles,
        into: &Path,
    ) -> Result<(), SourceError> {
        tokio::fs::create_dir_all(into).await.map_err(|error| {
            let message = format!("cannot make {}: {error}", into.display());
            SourceError::new(FailureKind::Internal, message)
        })
    }

    async fn take_in(
        &self,
        _: &RunId,
        base: &Base,
        _: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Work, SourceError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let next = taken.pop_front();
        let (tree, files) = next.unwrap_or_else(|| (base.tree.clone(), 0));
        // Only how many there are is recorded.
        let changed = (1..=files).map(|number| ChangedPath {
            path: format!("recorded change {number}"),
            status: 'M',
        });
        Ok(Work {
            tree,
            changed: changed.collect(),
            patch: self.patch.clone(),
            refusals: Vec::new(),
            quarantine: base.mirror.clone(),
        })
    }

    async fn restore(
        &self,
        run: &RunId,
        base: &Base,
        tree: &str,
        patch: &[u8],
    ) -> Result<Work, SourceError> {
        self.source.restore(run, base, tree, patch).await
    }

    async fn push(&self, push: Push<'_>) -> Result<Pushed, SourceError> {
        self.source.push(push).await
    }

    async fn discard(&self, run: &RunId) -> Result<(), SourceError> {
        self.source.discard(run).await
    }
}

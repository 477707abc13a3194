//! The control plane's git, at a recorded commit and without a way out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pullwright_core::source::{
    Base, CheckoutFiles, Fetch, Push, Pushed, Repository, Source, SourceError, Work,
};
use pullwright_protocol::{FailureKind, RunId};
use tokio::io::AsyncRead;

/// A source that starts from one commit, whatever is asked for, and never pushes.
pub(super) struct OfflineSource {
    source: Arc<dyn Source>,
    base: Base,
    would_push: AtomicBool,
}

impl OfflineSource {
    /// Everything but fetching and pushing is done by `source`.
    #[must_use]
    pub(super) fn new(source: Arc<dyn Source>, base: Base) -> Self {
        Self {
            source,
            base,
            would_push: AtomicBool::new(false),
        }
    }

    /// Whether the run came so far that it would have pushed.
    #[must_use]
    pub(super) fn would_push(&self) -> bool {
        self.would_push.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Source for OfflineSource {
    fn accept(&self, _: &str) -> Result<Repository, SourceError> {
        Ok(self.base.repository.clone())
    }

    async fn fetch(&self, _: Fetch<'_>) -> Result<Base, SourceError> {
        Ok(self.base.clone())
    }

    async fn checkout(
        &self,
        base: &Base,
        work: Option<&Work>,
        files: CheckoutFiles,
        into: &Path,
    ) -> Result<(), SourceError> {
        self.source.checkout(base, work, files, into).await
    }

    async fn take_in(
        &self,
        run: &RunId,
        base: &Base,
        bundle: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Work, SourceError> {
        self.source.take_in(run, base, bundle).await
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

    /// A run that may not push keeps its patch, which is how a replay ends.
    async fn push(&self, _: Push<'_>) -> Result<Pushed, SourceError> {
        self.would_push.store(true, Ordering::Relaxed);
        Err(SourceError::new(
            FailureKind::Credential,
            "a replay does not push",
        ))
    }

    async fn discard(&self, run: &RunId) -> Result<(), SourceError> {
        self.source.discard(run).await
    }
}

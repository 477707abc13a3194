//! The control plane's git, at a recorded commit and without a way out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pullwright_core::source::{
    Base, Brought, CheckoutFiles, Fetch, HostedChange, Push, Pushed, Repository, Source,
    SourceError, Tip, Unfit, Work,
};
use pullwright_protocol::{FailureKind, RunId};
use tokio::io::AsyncRead;

use super::messages::Messages;
use super::recorded::RecordedWork;

/// A source that starts from one commit, whatever is asked for, and never pushes.
pub(super) struct OfflineSource {
    source: Arc<dyn Source>,
    base: Base,
    /// What is taken in, where the sandbox makes nothing: then nothing is checked out either.
    recorded: Option<RecordedWork>,
    messages: Arc<Messages>,
    would_push: AtomicBool,
}

impl OfflineSource {
    /// Everything but fetching and pushing is done by `source`, unless it is `recorded`.
    #[must_use]
    pub(super) fn new(
        source: Arc<dyn Source>,
        base: Base,
        recorded: Option<RecordedWork>,
        messages: Arc<Messages>,
    ) -> Self {
        Self {
            source,
            base,
            recorded,
            messages,
            would_push: AtomicBool::new(false),
        }
    }

    /// Whether the run came so far that it would have pushed.
    #[must_use]
    pub(super) fn would_push(&self) -> bool {
        self.would_push.load(Ordering::Relaxed)
    }

    fn does_not_push(&self) -> SourceError {
        self.would_push.store(true, Ordering::Relaxed);
        SourceError::new(FailureKind::Credential, "a replay does not push")
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

    async fn known(&self, _: &Repository, _: &str, _: &str) -> Result<Option<Base>, SourceError> {
        Ok(Some(self.base.clone()))
    }

    async fn checkout(
        &self,
        base: &Base,
        work: Option<&Work>,
        files: CheckoutFiles,
        into: &Path,
    ) -> Result<(), SourceError> {
        match self.recorded {
            None => self.source.checkout(base, work, files, into).await,
            Some(_) => make_folder(into).await,
        }
    }

    async fn take_in(
        &self,
        run: &RunId,
        base: &Base,
        bundle: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Work, SourceError> {
        let work = match &self.recorded {
            None => self.source.take_in(run, base, bundle).await?,
            Some(recorded) => recorded.next(base),
        };
        self.messages.taken_in().await.map_err(internal)?;
        Ok(work)
    }

    async fn restore(
        &self,
        run: &RunId,
        base: &Base,
        tree: Option<&str>,
        patch: &[u8],
    ) -> Result<Work, SourceError> {
        self.source.restore(run, base, tree, patch).await
    }

    async fn bring_onto(
        &self,
        base: &Base,
        work: &Work,
        onto: &Base,
    ) -> Result<Brought, SourceError> {
        self.source.bring_onto(base, work, onto).await
    }

    /// A run that may not push keeps its patch, which is how a replay ends.
    async fn push(&self, _: Push<'_>) -> Result<Pushed, SourceError> {
        Err(self.does_not_push())
    }

    async fn as_files(&self, _: Push<'_>) -> Result<Result<HostedChange, Unfit>, SourceError> {
        Err(self.does_not_push())
    }

    async fn look(&self, _: Push<'_>) -> Result<Tip, SourceError> {
        Err(self.does_not_push())
    }

    async fn begin(&self, _: Push<'_>) -> Result<Tip, SourceError> {
        Err(self.does_not_push())
    }

    async fn made(&self, _: Push<'_>, _: &str) -> Result<Result<Pushed, String>, SourceError> {
        Err(self.does_not_push())
    }

    async fn take_back(&self, _: Push<'_>) -> Result<(), SourceError> {
        Err(self.does_not_push())
    }

    async fn discard(&self, run: &RunId) -> Result<(), SourceError> {
        self.source.discard(run).await
    }
}

async fn make_folder(path: &Path) -> Result<(), SourceError> {
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|error| internal(format!("cannot make {}: {error}", path.display())))
}

fn internal(what: impl ToString) -> SourceError {
    SourceError::new(FailureKind::Internal, what.to_string())
}

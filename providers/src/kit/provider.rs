//! The author's side of a provider.

use std::fmt;

use async_trait::async_trait;
use jsonrpsee::core::server::{SubscriptionMessage, SubscriptionSink};
use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::{
    Aside, DELTA_NOTIFICATION, Delta, ProviderError, ProviderInfo, StopReason, StreamRequest,
};
use serde::Serialize;

/// Something that streams a model's replies.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Who it is and what its model can take.
    fn info(&self) -> ProviderInfo;

    /// Streams one reply through `deltas` and says how it ended.
    ///
    /// The end, good or bad, becomes the last delta, so do not send [`Delta::End`] or
    /// [`Delta::Error`] yourself. The future is dropped when the reader cancels: hold nothing that
    /// must outlive it, and let a dropped connection close.
    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError>;
}

/// How a complete reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why the model stopped.
    pub stop: StopReason,
    /// The reason in the provider's own words.
    pub raw: String,
}

/// Where a provider's deltas go.
pub struct DeltaSender {
    sink: SubscriptionSink,
}

/// The reader is gone. As a [`ProviderError`] it reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply was cancelled")]
pub struct Cancelled;

impl DeltaSender {
    pub(super) fn new(sink: SubscriptionSink) -> Self {
        Self { sink }
    }

    /// Sends a delta, waiting for a slow reader.
    ///
    /// # Errors
    /// [`Cancelled`] when nobody reads any more.
    pub async fn send(&self, delta: Delta) -> Result<(), Cancelled> {
        self.notify(&delta).await
    }

    /// Sends a sentence that people should know and that is no part of the reply, such as that the service
    /// left a part of the conversation out. A run shows it once.
    ///
    /// # Errors
    /// [`Cancelled`] when nobody reads any more.
    pub async fn notice(&self, message: impl Into<String>) -> Result<(), Cancelled> {
        let message = message.into();
        self.notify(&Aside::Notice { message }).await
    }

    /// Says that the reply is still being made, where nothing of it comes for minutes. Without, its reader
    /// gives it up.
    ///
    /// # Errors
    /// [`Cancelled`] when nobody reads any more.
    pub async fn alive(&self) -> Result<(), Cancelled> {
        self.notify(&Aside::Alive).await
    }

    async fn notify(&self, said: &impl Serialize) -> Result<(), Cancelled> {
        let id = self.sink.subscription_id();
        let message =
            SubscriptionMessage::new(DELTA_NOTIFICATION, id, said).map_err(|_| Cancelled)?;
        self.sink.send(message).await.map_err(|_| Cancelled)
    }

    pub(super) async fn cancelled(&self) {
        self.sink.closed().await;
    }
}

impl fmt::Debug for DeltaSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaSender").finish_non_exhaustive()
    }
}

impl From<Cancelled> for ProviderError {
    fn from(cancelled: Cancelled) -> Self {
        Self {
            kind: FailureKind::Interrupted,
            message: cancelled.to_string(),
            retryable: false,
            retry_after_ms: None,
        }
    }
}

//! The seam: a JSON-RPC 2.0 peer and its subscriptions.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Somebody who answers JSON-RPC 2.0, however far away.
#[async_trait]
pub trait RpcPeer: Send + Sync {
    /// Calls `method` and waits for its result.
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError>;

    /// Subscribes through `method`. Dropping the subscription calls `unsubscribe_method`, or has
    /// the same effect, so that the producer stops.
    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError>;
}

/// The notifications of one subscription: in order, bounded, none lost.
pub struct RpcSubscription {
    messages: Messages,
}

type Messages = Pin<Box<dyn Stream<Item = Result<Box<RawValue>, RpcError>> + Send>>;

impl RpcSubscription {
    /// A subscription fed by `messages`; dropping the stream must stop the producer.
    pub fn new(
        messages: impl Stream<Item = Result<Box<RawValue>, RpcError>> + Send + 'static,
    ) -> Self {
        Self {
            messages: Box::pin(messages),
        }
    }

    /// The next notification's result. Nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Box<RawValue>, RpcError>> {
        self.messages.next().await
    }
}

impl fmt::Debug for RpcSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcSubscription").finish_non_exhaustive()
    }
}

/// Why a peer did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The peer is gone, or what it said made no sense any more; every later call fails too.
    #[error("the connection to {peer} is closed: {reason}")]
    Closed {
        /// The peer's name.
        peer: String,
        /// What closed it.
        reason: String,
    },
    /// The peer answered with a JSON-RPC error.
    #[error("{peer} refused {method}: {message} (code {code})")]
    Refused {
        /// The peer's name.
        peer: String,
        /// What was called or subscribed to.
        method: String,
        /// The JSON-RPC error code.
        code: i64,
        /// The peer's words.
        message: String,
    },
    /// The peer answered with something that is not JSON-RPC.
    #[error("{peer} gave an answer to {method} that cannot be understood: {reason}")]
    Malformed {
        /// The peer's name.
        peer: String,
        /// What was called or subscribed to.
        method: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("{peer} did not answer {method} within {seconds} s")]
    TimedOut {
        /// The peer's name.
        peer: String,
        /// What was called or subscribed to.
        method: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The parameters cannot be written as JSON.
    #[error("the parameters cannot be written as JSON: {0}")]
    Encode(String),
}

/// Writes `params` as JSON, for [`RpcPeer::call`] and [`RpcPeer::subscribe`].
///
/// # Errors
/// [`RpcError::Encode`] when serde refuses the value.
pub fn to_params<T: Serialize + ?Sized>(params: &T) -> Result<Box<RawValue>, RpcError> {
    to_raw_value(params).map_err(|error| RpcError::Encode(error.to_string()))
}

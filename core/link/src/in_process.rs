//! A peer in this process: a jsonrpsee module, called without a socket in between.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_util::Stream;
use jsonrpsee::Methods;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::envelope::{Incoming, request_line};
use crate::rpc::{RpcError, RpcPeer, RpcSubscription};

/// How many notifications may wait for a slow subscriber before the producer waits too.
const STREAM_BUFFER_MESSAGES: usize = 64;

/// A jsonrpsee `RpcModule` as a peer. Give each peer a module of its own: all callers share one
/// connection id.
pub struct InProcessPeer {
    name: String,
    methods: Methods,
    next_id: AtomicU64,
}

impl InProcessPeer {
    /// The peer that `module` is. `name` is how errors call it.
    pub fn new(name: impl Into<String>, module: impl Into<Methods>) -> Self {
        Self {
            name: name.into(),
            methods: module.into(),
            next_id: AtomicU64::new(1),
        }
    }

    async fn request(
        &self,
        method: &str,
        params: &RawValue,
    ) -> Result<(Box<RawValue>, mpsc::Receiver<Box<RawValue>>), RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let line = request_line(id, method, params)?;
        let (answer, notifications) = self
            .methods
            .raw_json_request(&line, STREAM_BUFFER_MESSAGES)
            .await
            .map_err(|error| RpcError::Encode(error.to_string()))?;
        Ok((self.result_of(&answer, method)?, notifications))
    }

    fn result_of(&self, answer: &RawValue, method: &str) -> Result<Box<RawValue>, RpcError> {
        serde_json::from_str::<Incoming<'_>>(answer.get())
            .map_err(|error| malformed(&self.name, method, &error))?
            .into_answer(&self.name, method)
    }
}

#[async_trait]
impl RpcPeer for InProcessPeer {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        Ok(self.request(method, params).await?.0)
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        _unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let (_id, notifications) = self.request(method, params).await?;
        Ok(RpcSubscription::new(ModuleStream {
            peer: self.name.clone(),
            method: method.to_owned(),
            notifications,
        }))
    }
}

impl fmt::Debug for InProcessPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessPeer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Dropping the receiver closes the module's sink, which is its unsubscribe.
struct ModuleStream {
    peer: String,
    method: String,
    notifications: mpsc::Receiver<Box<RawValue>>,
}

impl ModuleStream {
    fn decode(&self, message: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let incoming: Incoming<'_> = serde_json::from_str(message.get())
            .map_err(|error| malformed(&self.peer, &self.method, &error))?;
        match incoming.params {
            Some(params) => params.payload(&self.peer, &self.method),
            None => Ok(RawValue::NULL.to_owned()),
        }
    }
}

impl Stream for ModuleStream {
    type Item = Result<Box<RawValue>, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(self.notifications.poll_recv(cx));
        let decoded = message.map(|message| self.decode(&message));
        if let Some(Err(_)) = &decoded {
            self.notifications.close();
        }
        Poll::Ready(decoded)
    }
}

fn malformed(peer: &str, method: &str, error: &serde_json::Error) -> RpcError {
    RpcError::Malformed {
        peer: peer.to_owned(),
        method: method.to_owned(),
        reason: error.to_string(),
    }
}

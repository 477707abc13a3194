//! A provider plugin out of this program's reach: a child, an address or a library, opened again when it
//! has ended or does not answer.

mod connect;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use pullwright_core::config::ProviderLink;
use pullwright_link::{RpcError, RpcPeer, RpcSubscription};
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use connect::connect;

/// The peer of a row.
pub(super) struct RemotePeer {
    row: String,
    connect: Connect,
    open: Mutex<Option<Arc<Open>>>,
}

type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Open, String>> + Send + Sync>;

/// A connection, and what ends whoever is at its other end.
struct Open {
    peer: Box<dyn RpcPeer>,
    #[expect(dead_code, reason = "it is there to be dropped")]
    guard: Box<dyn Any + Send + Sync>,
}

impl RemotePeer {
    pub(super) fn new(row: &str, link: ProviderLink) -> Self {
        let (name, link) = (row.to_owned(), Arc::new(link));
        let connect = move || {
            let (name, link) = (name.clone(), Arc::clone(&link));
            async move { connect(&name, &link).await }.boxed()
        };
        Self::with(row, Box::new(connect))
    }

    fn with(row: &str, connect: Connect) -> Self {
        Self {
            row: row.to_owned(),
            connect,
            open: Mutex::new(None),
        }
    }

    /// The connection there is, or a new one.
    async fn connection(&self) -> Result<Arc<Open>, RpcError> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        let opened = (self.connect)().await;
        let opened = opened.map_err(|reason| RpcError::Closed {
            peer: self.row.clone(),
            reason,
        })?;
        Ok(Arc::clone(open.insert(Arc::new(opened))))
    }

    /// A new connection instead of one that turned out to have ended.
    async fn another(&self, ended: &Arc<Open>) -> Result<Arc<Open>, RpcError> {
        self.drop_connection(ended).await;
        self.connection().await
    }

    /// Does without a connection from now on. Its other end is ended with the last stream that comes over it.
    async fn drop_connection(&self, useless: &Arc<Open>) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, useless)) {
            *open = None;
        }
    }

    /// Whoever does not answer in time may never do so again: the next question goes to a new one.
    async fn checked<T>(
        &self,
        answer: Result<T, RpcError>,
        open: &Arc<Open>,
    ) -> Result<T, RpcError> {
        if matches!(answer, Err(RpcError::TimedOut { .. })) {
            self.drop_connection(open).await;
        }
        answer
    }
}

#[async_trait]
impl RpcPeer for RemotePeer {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let mut open = self.connection().await?;
        let mut answer = open.peer.call(method, params).await;
        if matches!(answer, Err(RpcError::Closed { .. })) {
            open = self.another(&open).await?;
            answer = open.peer.call(method, params).await;
        }
        self.checked(answer, &open).await
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let mut open = self.connection().await?;
        let subscribe = open.peer.subscribe(method, params, unsubscribe_method);
        let mut subscribed = subscribe.await;
        if matches!(subscribed, Err(RpcError::Closed { .. })) {
            open = self.another(&open).await?;
            let subscribe = open.peer.subscribe(method, params, unsubscribe_method);
            subscribed = subscribe.await;
        }
        let kept = (self.checked(subscribed, &open).await?, open);
        // The connection lives as long as its last stream.
        let messages = stream::unfold(kept, async |mut kept| {
            let message = kept.0.next().await?;
            Some((message, kept))
        });
        Ok(RpcSubscription::new(messages))
    }
}

#[cfg(test)]
mod tests;

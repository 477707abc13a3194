//! A peer behind two byte streams, one JSON-RPC message a line.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::limited_reader::LineLimits;
use crate::rpc::{RpcError, RpcPeer, RpcSubscription};

mod lines;
mod routes;

use routes::{OpenedStream, Routes};

/// How long a peer may take to answer a call or to accept a subscription before it is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A JSON-RPC client over a child's standard input and output, or any other pair of streams.
///
/// Answers are matched by id, notifications by subscription. A subscriber that does not read makes
/// the peer wait, and with it every other stream and answer of the same peer: nothing is dropped,
/// so start one child per stream where that matters. Dropping the peer and its subscriptions
/// closes both byte streams.
pub struct LinePeer {
    connection: Arc<Connection>,
}

struct Connection {
    routes: Arc<Routes>,
    _reader: AbortOnDropHandle<()>,
    _writer: AbortOnDropHandle<()>,
}

impl LinePeer {
    /// Speaks to whoever reads `stdin` and writes `stdout`. `name` is how errors call it.
    ///
    /// Must be called inside a tokio runtime.
    pub fn new(
        name: impl Into<String>,
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        Self::with_limits(name, stdin, stdout, LineLimits::default())
    }

    /// The same with limits of the caller's choice.
    pub fn with_limits(
        name: impl Into<String>,
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        limits: LineLimits,
    ) -> Self {
        let (routes, outgoing) = Routes::new(name.into());
        let reader = tokio::spawn(lines::read(stdout, Arc::clone(&routes), limits));
        let writer = tokio::spawn(lines::write(stdin, Arc::clone(&routes), outgoing));
        Self {
            connection: Arc::new(Connection {
                routes,
                _reader: AbortOnDropHandle::new(reader),
                _writer: AbortOnDropHandle::new(writer),
            }),
        }
    }

    async fn answer<T>(
        &self,
        method: &str,
        answer: oneshot::Receiver<Result<T, RpcError>>,
    ) -> Result<T, RpcError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.connection.routes.closed_error()),
            Err(_) => Err(RpcError::TimedOut {
                peer: self.connection.routes.peer().to_owned(),
                method: method.to_owned(),
                seconds: ANSWER_TIMEOUT.as_secs(),
            }),
        }
    }
}

#[async_trait]
impl RpcPeer for LinePeer {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let (answer, _forget_on_drop) = self.connection.routes.call(method, params).await?;
        self.answer(method, answer).await
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let routes = &self.connection.routes;
        let answer = routes.subscribe(method, params, unsubscribe_method).await?;
        let opened = self.answer(method, answer).await?;
        Ok(RpcSubscription::new(LineStream {
            opened,
            ended: false,
            connection: Arc::clone(&self.connection),
        }))
    }
}

impl fmt::Debug for LinePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinePeer")
            .field("name", &self.connection.routes.peer())
            .finish_non_exhaustive()
    }
}

/// `opened` unsubscribes when dropped; `connection` keeps the tasks alive for a stream that
/// outlives its peer.
struct LineStream {
    opened: OpenedStream,
    ended: bool,
    connection: Arc<Connection>,
}

impl Stream for LineStream {
    type Item = Result<Box<RawValue>, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(self.opened.messages.poll_recv(cx))
            .unwrap_or_else(|| Err(self.connection.routes.closed_error()));
        self.ended = message.is_err();
        Poll::Ready(Some(message))
    }
}

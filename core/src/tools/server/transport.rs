//! What stands between a connection and the SDK, whatever the link is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage,
    ServerResult,
};
use rmcp::transport::Transport;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tools::progress::Router;

/// How long a server may think about `server/discover`: one of the older era may never answer, and
/// the handshake it knows must come soon all the same.
pub(super) const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// The most messages from a server since it was last asked something: more than any progress needs,
/// and one that sends without end would keep us busy for ever.
const MAX_UNASKED_MESSAGES: usize = 100_000;

/// What a connection's transport and its user tell each other.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// Fires when the server's side of the connection has ended.
    pub(super) ended: CancellationToken,
    unasked: Arc<AtomicUsize>,
    probe_unanswered: Arc<AtomicBool>,
    probe_timed_out: Arc<AtomicBool>,
}

/// A transport that waits while output is not taken away, gives up on `server/discover` in time, and
/// says when the server's side has ended.
pub(super) struct Watched<T> {
    inner: T,
    router: Arc<Router>,
    signals: Signals,
    patience: Option<Duration>,
    probe: Probe,
}

enum Probe {
    None,
    /// Given up at a time, if at all.
    Pending {
        id: RequestId,
        until: Option<Instant>,
    },
    GivenUp {
        id: RequestId,
    },
}

impl Signals {
    /// Something is asked now.
    pub(super) fn asked(&self) {
        self.unasked.store(0, Ordering::Relaxed);
    }

    /// Whether the server was asked `server/discover` and has not answered.
    pub(super) fn probe_unanswered(&self) -> bool {
        self.probe_unanswered.load(Ordering::Relaxed)
    }

    /// Whether the server took too long for `server/discover`.
    pub(super) fn probe_timed_out(&self) -> bool {
        self.probe_timed_out.load(Ordering::Relaxed)
    }
}

impl<T> Watched<T> {
    /// Gives `server/discover` up after `patience`; without it the server has all of its start.
    pub(super) fn new(
        inner: T,
        router: Arc<Router>,
        signals: Signals,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            inner,
            router,
            signals,
            patience,
            probe: Probe::None,
        }
    }

    fn watch_probe(&mut self, item: &ClientJsonRpcMessage) {
        if let ClientJsonRpcMessage::Request(request) = item
            && matches!(request.request, ClientRequest::DiscoverRequest(_))
        {
            self.signals.probe_unanswered.store(true, Ordering::Relaxed);
            self.probe = Probe::Pending {
                id: request.id.clone(),
                until: self.patience.map(|patience| Instant::now() + patience),
            };
        }
    }

    /// Answers the probe in the server's place, so that the SDK goes on with the handshake.
    fn give_up(&mut self, id: RequestId) -> ServerJsonRpcMessage {
        self.signals.probe_timed_out.store(true, Ordering::Relaxed);
        self.probe = Probe::GivenUp { id: id.clone() };
        let message = "server/discover was not answered in time";
        let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None);
        ServerJsonRpcMessage::error(error, Some(id))
    }

    /// What the SDK is to see of a message. It would take a late answer to the probe for one to its
    /// handshake, and give up over an answer that is none, where the older era is meant.
    fn judge(&mut self, message: ServerJsonRpcMessage) -> Option<ServerJsonRpcMessage> {
        let answered = match &message {
            ServerJsonRpcMessage::Response(response) => Some(&response.id),
            ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => return Some(message),
        };
        match &self.probe {
            Probe::GivenUp { id } if answered == Some(id) => None,
            Probe::Pending { id, .. } => {
                let id = id.clone();
                self.probe = Probe::None;
                self.signals
                    .probe_unanswered
                    .store(false, Ordering::Relaxed);
                Some(as_answer_to_probe(id, message))
            }
            _ => Some(message),
        }
    }
}

/// Nothing else was asked yet, so whatever comes is the answer, wrong as its id may be.
fn as_answer_to_probe(id: RequestId, message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    match message {
        ServerJsonRpcMessage::Response(response)
            if !matches!(response.result, ServerResult::DiscoverResult(_)) =>
        {
            let message = "server/discover was answered with something else";
            let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None);
            ServerJsonRpcMessage::error(error, Some(id))
        }
        ServerJsonRpcMessage::Error(error) => ServerJsonRpcMessage::error(error.error, Some(id)),
        answer => answer,
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.watch_probe(&item);
        self.inner.send(item)
    }

    /// May be dropped and called again: what is kept between two calls is kept in `self`.
    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            self.router.room().await;
            let received = match &self.probe {
                Probe::Pending {
                    id,
                    until: Some(until),
                } => {
                    let id = id.clone();
                    match tokio::time::timeout_at(*until, self.inner.receive()).await {
                        Ok(received) => received,
                        Err(_) => return Some(self.give_up(id)),
                    }
                }
                _ => self.inner.receive().await,
            };
            let unasked = self.signals.unasked.fetch_add(1, Ordering::Relaxed);
            match received {
                Some(message) if unasked < MAX_UNASKED_MESSAGES => {
                    if let Some(message) = self.judge(message) {
                        return Some(message);
                    }
                }
                _ => {
                    self.signals.ended.cancel();
                    return None;
                }
            }
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}

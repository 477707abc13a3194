//! Who waits for which answer, and who listens to which subscription.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::envelope::{Incoming, NotificationParams, request_line};
use crate::rpc::RpcError;

/// How many notifications may wait for a slow subscriber before the peer waits too.
const STREAM_BUFFER_MESSAGES: usize = 64;
/// How many requests may wait for a peer that reads slowly before callers wait too.
const REQUEST_BUFFER_MESSAGES: usize = 64;
/// How many calls may wait for an answer: a peer that never answers must not fill our memory.
const MAX_PENDING_ANSWERS: usize = 4096;

type Payload = Result<Box<RawValue>, RpcError>;
type Answer<T> = oneshot::Sender<Result<T, RpcError>>;

pub(super) struct Routes {
    peer: String,
    table: Mutex<Table>,
    requests: mpsc::Sender<String>,
    /// Unbounded because a destructor cannot wait; at most one message per accepted subscription.
    unsubscribes: mpsc::UnboundedSender<String>,
    next_id: AtomicU64,
    /// Tells the writer task that nobody reads answers any more.
    closing: Notify,
}

#[derive(Default)]
struct Table {
    closed: Option<String>,
    pending: HashMap<u64, Pending>,
    /// By the subscription id's JSON text.
    streams: HashMap<Box<str>, mpsc::Sender<Payload>>,
}

struct Pending {
    method: String,
    waiter: Waiter,
}

enum Waiter {
    Call(Answer<Box<RawValue>>),
    Subscribe {
        unsubscribe_method: String,
        answer: Answer<OpenedStream>,
    },
}

/// What the writer task sends.
pub(super) struct Outgoing {
    pub(super) requests: mpsc::Receiver<String>,
    pub(super) unsubscribes: mpsc::UnboundedReceiver<String>,
}

/// An accepted subscription; dropping it unsubscribes.
pub(super) struct OpenedStream {
    pub(super) messages: mpsc::Receiver<Payload>,
    routes: Arc<Routes>,
    id: Box<RawValue>,
    unsubscribe_method: String,
}

/// Forgets a call whose caller went away.
pub(super) struct ForgetOnDrop<'a> {
    routes: &'a Routes,
    id: u64,
}

impl Routes {
    pub(super) fn new(peer: String) -> (Arc<Self>, Outgoing) {
        let (requests, request_receiver) = mpsc::channel(REQUEST_BUFFER_MESSAGES);
        let (unsubscribes, unsubscribe_receiver) = mpsc::unbounded_channel();
        let routes = Arc::new(Self {
            peer,
            table: Mutex::default(),
            requests,
            unsubscribes,
            next_id: AtomicU64::new(1),
            closing: Notify::new(),
        });
        let outgoing = Outgoing {
            requests: request_receiver,
            unsubscribes: unsubscribe_receiver,
        };
        (routes, outgoing)
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// Sends a call. The second part forgets it when dropped.
    pub(super) async fn call(
        &self,
        method: &str,
        params: &RawValue,
    ) -> Result<(oneshot::Receiver<Payload>, ForgetOnDrop<'_>), RpcError> {
        let (sender, answer) = oneshot::channel();
        let id = self.request_id();
        let forget = ForgetOnDrop { routes: self, id };
        self.send(id, method, params, Waiter::Call(sender)).await?;
        Ok((answer, forget))
    }

    /// Sends a subscription. It stays known when the caller goes away, so that a late acceptance
    /// is answered with an unsubscribe.
    pub(super) async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        unsubscribe_method: &str,
    ) -> Result<oneshot::Receiver<Result<OpenedStream, RpcError>>, RpcError> {
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter::Subscribe {
            unsubscribe_method: unsubscribe_method.to_owned(),
            answer: sender,
        };
        let id = self.request_id();
        self.send(id, method, params, waiter).await?;
        Ok(answer)
    }

    async fn send(
        &self,
        id: u64,
        method: &str,
        params: &RawValue,
        waiter: Waiter,
    ) -> Result<(), RpcError> {
        let line = request_line(id, method, params)?;
        let Ok(place) = self.requests.reserve().await else {
            return Err(self.closed_error());
        };
        self.expect_answer(id, method, waiter)?;
        place.send(line);
        Ok(())
    }

    fn expect_answer(&self, id: u64, method: &str, waiter: Waiter) -> Result<(), RpcError> {
        let mut table = self.table();
        if table.closed.is_some() {
            drop(table);
            return Err(self.closed_error());
        }
        if table.pending.len() >= MAX_PENDING_ANSWERS {
            return Err(self.closed_because(format!(
                "{MAX_PENDING_ANSWERS} calls wait for an answer already"
            )));
        }
        let method = method.to_owned();
        table.pending.insert(id, Pending { method, waiter });
        Ok(())
    }

    /// Hands a response to whoever waits for it.
    pub(super) fn answer(self: &Arc<Self>, id: u64, response: Incoming<'_>) {
        let Some(pending) = self.table().pending.remove(&id) else {
            tracing::debug!(peer = %self.peer, id, "an answer nobody waits for");
            return;
        };
        let answer = response.into_answer(&self.peer, &pending.method);
        match pending.waiter {
            Waiter::Call(waiter) => drop(waiter.send(answer)),
            Waiter::Subscribe {
                unsubscribe_method,
                answer: waiter,
            } => {
                // A caller who left drops what it is sent, which unsubscribes.
                drop(waiter.send(answer.map(|id| self.open_stream(id, unsubscribe_method))));
            }
        }
    }

    fn open_stream(
        self: &Arc<Self>,
        id: Box<RawValue>,
        unsubscribe_method: String,
    ) -> OpenedStream {
        let (sender, messages) = mpsc::channel(STREAM_BUFFER_MESSAGES);
        self.table().streams.insert(id.get().into(), sender);
        OpenedStream {
            messages,
            routes: Arc::clone(self),
            id,
            unsubscribe_method,
        }
    }

    /// Hands a notification to its subscriber, waiting for a slow one.
    pub(super) async fn notify(&self, method: &str, params: &NotificationParams<'_>) {
        let Some(id) = params.subscription.map(RawValue::get) else {
            return;
        };
        let Some(stream) = self.table().streams.get(id).cloned() else {
            return;
        };
        let payload = params.payload(&self.peer, method);
        let is_last = payload.is_err();
        if stream.send(payload).await.is_err() || is_last {
            self.table().streams.remove(id);
        }
    }

    /// Fails everything that waits, now and later. The first reason counts.
    pub(super) fn close(&self, reason: String) {
        let mut table = self.table();
        table.closed.get_or_insert(reason);
        let pending = std::mem::take(&mut table.pending);
        table.streams.clear();
        drop(table);
        for (_, waiting) in pending {
            self.fail(waiting.waiter);
        }
        self.closing.notify_one();
    }

    /// Completes once the connection is closed, for the one task that writes.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    fn fail(&self, waiter: Waiter) {
        let error = self.closed_error();
        match waiter {
            Waiter::Call(answer) => drop(answer.send(Err(error))),
            Waiter::Subscribe { answer, .. } => drop(answer.send(Err(error))),
        }
    }

    pub(super) fn closed_error(&self) -> RpcError {
        let reason = self.table().closed.clone();
        self.closed_because(reason.unwrap_or_else(|| "it was shut down".to_owned()))
    }

    fn closed_because(&self, reason: String) -> RpcError {
        RpcError::Closed {
            peer: self.peer.clone(),
            reason,
        }
    }

    fn request_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn unsubscribe(&self, method: &str, id: &RawValue) {
        let Ok(params) = RawValue::from_string(format!("[{id}]")) else {
            return;
        };
        if let Ok(line) = request_line(self.request_id(), method, &params) {
            // A closed connection needs no unsubscribe.
            drop(self.unsubscribes.send(line));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenedStream {
    fn drop(&mut self) {
        let stream = self.routes.table().streams.remove(self.id.get());
        drop(stream);
        self.routes.unsubscribe(&self.unsubscribe_method, &self.id);
    }
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        let waiting = self.routes.table().pending.remove(&self.id);
        drop(waiting);
    }
}

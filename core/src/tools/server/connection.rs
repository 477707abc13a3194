//! One connection to a tool server, from its handshake to its end.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pullwright_link::{Asked, LimitedReader, LineLimits, McpHttp, McpHttpError};
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, JsonObject, RequestMetaObject,
    ServerResult, Tool,
};
use rmcp::service::{PeerRequestOptions, RequestHandle, RunningService, ServiceError};
use tokio::io::AsyncRead;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{ToolAnswer, answer_of};
use super::failure::{Failure, of_service};
use super::handler::Handler;
use super::listing;
use super::output::{drain, show};
use super::transport::Signals;
use super::watch::Listening;
use crate::tools::progress::{Piece, Reorder, Router};

/// The longest message taken from a tool server, in bytes: a longer one ends the connection.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The most lines from a tool server since its last call: more than any progress needs.
const MAX_UNASKED_LINES: usize = 100_000;

/// How long to wait for a cancellation notice to be written to a server that may not read.
const CANCEL_NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// What belongs to a connection while it is made, and after.
pub(super) struct Wiring {
    pub(super) router: Arc<Router>,
    pub(super) signals: Signals,
    pub(super) list_changed: Arc<Notify>,
    pub(super) asked: Asked,
    pub(super) http: Option<McpHttp>,
    pub(super) guard: Option<Box<dyn Any + Send + Sync>>,
}

/// A connection whose handshake is done.
pub(super) struct Connection {
    service: RunningService<RoleClient, Handler>,
    wiring: Wiring,
    /// Why it ended, where a call found that out.
    end: Mutex<Option<String>>,
    _listening: Option<Listening>,
}

/// A call, as the server will get it.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) tool: &'a str,
    pub(super) arguments: JsonObject,
    pub(super) meta: RequestMetaObject,
    pub(super) output: &'a mpsc::Sender<String>,
    pub(super) cancel: &'a CancellationToken,
    pub(super) deadline: Instant,
}

impl Wiring {
    pub(super) fn new() -> Self {
        Self {
            router: Arc::new(Router::default()),
            signals: Signals::default(),
            list_changed: Arc::new(Notify::new()),
            asked: Asked::default(),
            http: None,
            guard: None,
        }
    }

    /// A server's output, within the bounds of a conversation.
    pub(super) fn limited<R: AsyncRead>(&mut self, read: R) -> LimitedReader<R> {
        let limits = LineLimits {
            max_line_bytes: MAX_MESSAGE_BYTES,
            max_unasked_lines: Some(MAX_UNASKED_LINES),
            ..LineLimits::default()
        };
        let reader = LimitedReader::new(read, limits);
        self.asked = reader.asked();
        reader
    }
}

impl Connection {
    pub(super) fn new(service: RunningService<RoleClient, Handler>, wiring: Wiring) -> Self {
        let listening = Listening::start(service.peer(), &wiring.list_changed);
        Self {
            service,
            wiring,
            end: Mutex::new(None),
            _listening: listening,
        }
    }

    /// Whether the server speaks the era that has no handshake.
    pub(super) fn is_modern(&self) -> bool {
        let info = self.service.peer().peer_info();
        info.is_some_and(|info| !info.protocol_version.has_initialize())
    }

    /// Fires when the server's side has ended.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.wiring.signals.ended
    }

    /// What is known of its end.
    pub(super) fn reason(&self) -> String {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.clone().unwrap_or_else(|| self.plain_reason())
    }

    /// Is notified when the server says that its list of tools is another now.
    pub(super) fn list_changed(&self) -> &Arc<Notify> {
        &self.wiring.list_changed
    }

    pub(super) async fn list(&self) -> Result<Vec<Tool>, String> {
        self.asked();
        listing::list(self.service.peer())
            .await
            .map_err(|error| match self.trouble() {
                Some(trouble) => trouble.to_string(),
                None => error,
            })
    }

    /// Calls a tool, once.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<ToolAnswer, Failure> {
        let mut params =
            CallToolRequestParams::new(call.tool.to_owned()).with_arguments(call.arguments.clone());
        params.meta = Some(call.meta.clone());
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        self.asked();
        drop(self.trouble());
        let peer = self.service.peer();
        let sent = peer.send_request_with_option(request, PeerRequestOptions::no_options());
        // A server that does not read its input may hold up even the sending.
        let handle = tokio::select! {
            sent = tokio::time::timeout_at(call.deadline, sent) => sent
                .map_err(|_| Failure::Timeout)?
                .map_err(|error| self.failure(error))?,
            () = call.cancel.cancelled() => return Err(Failure::Cancelled),
        };
        let token = handle.progress_token.clone();
        let pieces = self.wiring.router.listen(&token);
        let answer = self.wait(handle, pieces, &call).await;
        self.wiring.router.forget(&token);
        answer
    }

    async fn wait(
        &self,
        mut handle: RequestHandle<RoleClient>,
        mut pieces: mpsc::Receiver<Piece>,
        call: &Call<'_>,
    ) -> Result<ToolAnswer, Failure> {
        let deadline = tokio::time::sleep_until(call.deadline);
        tokio::pin!(deadline);
        let mut order = Reorder::default();
        let result = loop {
            tokio::select! {
                // An answer that came before the end counts.
                biased;
                answer = &mut handle.rx => break answer,
                () = &mut deadline => {
                    give_up(handle, "the time limit was reached").await;
                    return Err(Failure::Timeout);
                }
                () = call.cancel.cancelled() => {
                    give_up(handle, "the run was cancelled").await;
                    return Err(Failure::Cancelled);
                }
                Some(piece) = pieces.recv() => show(call.output, order.push(piece)).await,
                // The SDK may wait for its transport to close, which a server in full flood holds up.
                () = self.ended().cancelled() => return Err(self.lost(self.plain_reason(), true)),
            }
        };
        let result = match result {
            Ok(Ok(ServerResult::CallToolResult(result))) => result,
            // An answer without content is read as one without anything.
            Ok(Ok(ServerResult::EmptyResult(_))) => Default::default(),
            Ok(Ok(ServerResult::InputRequiredResult(_))) => {
                return Err(Failure::refused(
                    "the tool asked for input from a person or a model; none is given here, so call \
                     it in a way that needs none",
                ));
            }
            Ok(Ok(_)) => {
                return Err(Failure::refused(
                    "the tool answered with something else than a result",
                ));
            }
            Ok(Err(error)) => return Err(self.failure(error)),
            Err(_) => return Err(self.lost(self.plain_reason(), true)),
        };
        drain(&result, &mut pieces, &mut order, call.output).await;
        Ok(answer_of(result))
    }

    fn failure(&self, error: ServiceError) -> Failure {
        match of_service(error, self.trouble(), &self.plain_reason()) {
            Failure::Lost { reason, begun } => self.lost(reason, begun),
            failure => failure,
        }
    }

    /// The connection is of no more use to anybody.
    fn lost(&self, reason: String, begun: bool) -> Failure {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.get_or_insert_with(|| reason.clone());
        self.ended().cancel();
        Failure::Lost { reason, begun }
    }

    fn trouble(&self) -> Option<McpHttpError> {
        self.wiring.http.as_ref()?.take_trouble()
    }

    fn plain_reason(&self) -> String {
        match self.wiring.http {
            Some(_) => "its connection broke".to_owned(),
            None => "its process ended or broke the protocol".to_owned(),
        }
    }

    fn asked(&self) {
        self.wiring.asked.now();
        self.wiring.signals.asked();
    }
}

async fn give_up(handle: RequestHandle<RoleClient>, reason: &str) {
    let notice = handle.cancel(Some(reason.to_owned()));
    // A server that does not read its input cannot be told; its process is killed with the run.
    let _ = tokio::time::timeout(CANCEL_NOTICE_TIMEOUT, notice).await;
}

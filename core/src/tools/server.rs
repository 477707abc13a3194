//! One tool server: the client side of an MCP connection.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use pullwright_link::{Asked, LimitedReader, LineLimits};
use pullwright_protocol::Part;
use pullwright_protocol::tool::{OFFSET_META_KEY, STREAMED_META_KEY};
use rmcp::RoleClient;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    ClientRequest, ContentBlock, Implementation, JsonObject, NotificationMetaObject,
    ProgressNotificationParam, ProtocolVersion, RequestMetaObject, ResourceContents, ServerResult,
    Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, NotificationContext,
    PeerRequestOptions, RequestHandle, RunningService, ServiceError,
};
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::progress::{GatedReader, Piece, Reorder, Router};

/// The longest message taken from a tool server, in bytes: a longer one ends the connection.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The most lines from a tool server since its last call: more than any progress needs.
const MAX_UNASKED_LINES: usize = 100_000;

/// How long to wait for a cancellation notice to be written to a server that may not read.
const CANCEL_NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait for output that was streamed before the answer but is still on its way.
const LATE_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// A byte stream to a tool server, and what keeps it alive.
pub struct ToolIo {
    /// What the server writes.
    pub read: Box<dyn AsyncRead + Send + Unpin>,
    /// What the server reads.
    pub write: Box<dyn AsyncWrite + Send + Unpin>,
    /// Dropped with the connection; kills a child process.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// How to talk to a tool server.
#[derive(Clone, Debug)]
pub struct ToolServerOptions {
    /// Its name: the row in `plugins.toml`.
    pub name: String,
    /// Whether it is one of our own, which speaks the short handshake and uses short names.
    pub builtin: bool,
    /// Whether its tools go by their bare names.
    pub short_names: bool,
    /// The longest wait for the connection and the tool list.
    pub startup_timeout: Duration,
    /// The longest wait for an answer.
    pub tool_timeout: Duration,
    /// The only tools offered, if given.
    pub enabled_tools: Option<Vec<String>>,
    /// Tools not offered.
    pub disabled_tools: Vec<String>,
    /// Whether a run cannot go on without it.
    pub required: bool,
}

/// A connected tool server.
pub struct ToolServer {
    options: ToolServerOptions,
    tools: Vec<Tool>,
    service: RunningService<RoleClient, Client>,
    router: Arc<Router>,
    asked: Asked,
    _guard: Box<dyn Any + Send + Sync>,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolAnswer {
    /// What the model sees.
    pub parts: Vec<Part>,
    /// The same in the tool's own structure.
    pub structured: Option<Value>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
}

/// Why a tool server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolServerError {
    /// It did not answer in time.
    #[error(
        "tool server `{name}` did not answer within {seconds} s; raise `startup_timeout_sec` in \
         [tools.{name}] or look at its standard error in the log"
    )]
    StartupTimeout {
        /// The row's name.
        name: String,
        /// The limit.
        seconds: u64,
    },
    /// It does not speak MCP, or ended at once.
    #[error("tool server `{name}` cannot be used: {reason}")]
    Startup {
        /// The row's name.
        name: String,
        /// What happened.
        reason: String,
    },
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolCallError {
    /// It took too long; the server was told to stop.
    #[error("the call did not end within {seconds} s and was stopped")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// The run was cancelled; the server was told to stop.
    #[error("the call was cancelled")]
    Cancelled,
    /// The server refused the call as such.
    #[error("{0}")]
    Refused(String),
    /// The connection is gone.
    #[error("tool server `{0}` is gone: its process ended or broke the protocol")]
    Gone(String),
}

impl ToolServer {
    /// Connects and lists the tools.
    ///
    /// # Errors
    /// When the server does not answer in time or does not speak MCP.
    pub async fn connect(options: ToolServerOptions, io: ToolIo) -> Result<Self, ToolServerError> {
        let limit = options.startup_timeout;
        match tokio::time::timeout(limit, Self::handshake(options.clone(), io)).await {
            Ok(connected) => connected,
            Err(_) => Err(ToolServerError::StartupTimeout {
                name: options.name,
                seconds: limit.as_secs(),
            }),
        }
    }

    async fn handshake(options: ToolServerOptions, io: ToolIo) -> Result<Self, ToolServerError> {
        let failed = |reason: String| ToolServerError::Startup {
            name: options.name.clone(),
            reason,
        };
        let router = Arc::new(Router::default());
        let client = Client {
            router: Arc::clone(&router),
        };
        let reader = GatedReader::new(io.read, Arc::clone(&router));
        let limits = LineLimits {
            max_line_bytes: MAX_MESSAGE_BYTES,
            max_unasked_lines: Some(MAX_UNASKED_LINES),
            ..LineLimits::default()
        };
        let reader = LimitedReader::new(reader, limits);
        let asked = reader.asked();
        let transport =
            AsyncRwTransport::new_client(reader, io.write).with_max_line_length(MAX_MESSAGE_BYTES);
        let service = client
            .serve_with_lifecycle(transport, lifecycle(options.builtin))
            .await
            .map_err(|error| failed(in_plain_words(&error)))?;
        let tools = service.peer().list_all_tools().await;
        let mut tools = tools.map_err(|error| failed(error.to_string()))?;
        // What is offered is a question of what a model may call; the pipeline's tools stay.
        tools.retain(|tool| super::role_of(tool).is_some() || options.offers(&tool.name));
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            options,
            tools,
            service,
            router,
            asked,
            _guard: io.guard,
        })
    }

    /// The row's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The tools it offers, sorted by name.
    #[must_use]
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Whether a run cannot go on without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.options.required
    }

    pub(crate) fn short_names(&self) -> bool {
        self.options.short_names
    }

    /// The tool that plays `role` in the pipeline, if this server has one.
    #[must_use]
    pub fn tool_with_role(&self, role: &str) -> Option<&str> {
        let tool = self
            .tools
            .iter()
            .find(|tool| super::role_of(tool) == Some(role))?;
        Some(&tool.name)
    }

    /// Calls a tool. Output it streams goes to `output`, in order, while it works.
    ///
    /// # Errors
    /// When there is no answer. An answer that says the tool failed is not an error.
    pub async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        meta: RequestMetaObject,
        output: &mpsc::Sender<String>,
        cancel: &CancellationToken,
    ) -> Result<ToolAnswer, ToolCallError> {
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        params.meta = Some(meta);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::no_options();
        self.asked.now();
        let sent = self
            .service
            .peer()
            .send_request_with_option(request, options);
        // A server that does not read its input may hold up even the sending.
        let limit = self.options.tool_timeout;
        let handle = tokio::select! {
            sent = tokio::time::timeout(limit, sent) => sent
                .map_err(|_| ToolCallError::Timeout { seconds: limit.as_secs() })?
                .map_err(|error| self.call_error(error))?,
            () = cancel.cancelled() => return Err(ToolCallError::Cancelled),
        };
        let token = handle.progress_token.clone();
        let pieces = self.router.listen(&token);
        let answer = self.wait(handle, pieces, output, cancel).await;
        self.router.forget(&token);
        answer
    }

    async fn wait(
        &self,
        mut handle: RequestHandle<RoleClient>,
        mut pieces: mpsc::Receiver<Piece>,
        output: &mpsc::Sender<String>,
        cancel: &CancellationToken,
    ) -> Result<ToolAnswer, ToolCallError> {
        let limit = self.options.tool_timeout;
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        let mut order = Reorder::default();
        let result = loop {
            tokio::select! {
                answer = &mut handle.rx => break answer,
                Some(piece) = pieces.recv() => show(output, order.push(piece)).await,
                () = &mut deadline => {
                    give_up(handle, "the time limit was reached").await;
                    return Err(ToolCallError::Timeout { seconds: limit.as_secs() });
                }
                () = cancel.cancelled() => {
                    give_up(handle, "the run was cancelled").await;
                    return Err(ToolCallError::Cancelled);
                }
            }
        };
        let result = match result {
            Ok(Ok(ServerResult::CallToolResult(result))) => result,
            Ok(Ok(_)) => return Err(ToolCallError::Refused(UNEXPECTED_ANSWER.to_owned())),
            Ok(Err(error)) => return Err(self.call_error(error)),
            Err(_) => return Err(ToolCallError::Gone(self.options.name.clone())),
        };
        drain(&result, &mut pieces, &mut order, output).await;
        Ok(answer_of(result))
    }

    fn call_error(&self, error: ServiceError) -> ToolCallError {
        match error {
            ServiceError::McpError(error) => ToolCallError::Refused(error.message.into_owned()),
            ServiceError::UnexpectedResponse => {
                ToolCallError::Refused(UNEXPECTED_ANSWER.to_owned())
            }
            _ => ToolCallError::Gone(self.options.name.clone()),
        }
    }
}

const UNEXPECTED_ANSWER: &str =
    "the tool asked for input or became a task; it must answer directly";

impl ToolServerOptions {
    fn offers(&self, tool: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|name| name == tool);
        self.enabled_tools.as_deref().is_none_or(listed) && !listed(&self.disabled_tools)
    }
}

/// Our own servers are known to speak the handshake; others are asked which era they live in.
fn lifecycle(builtin: bool) -> ClientLifecycleMode {
    if builtin {
        return ClientLifecycleMode::Initialize;
    }
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::LATEST],
        legacy_version: None,
    }
}

fn in_plain_words(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::TransportError { .. } => {
            "it ended, or closed its output, before it answered; its standard error is in the \
             server's log at level debug"
                .to_owned()
        }
        other => other.to_string(),
    }
}

async fn show(output: &mpsc::Sender<String>, text: String) {
    if !text.is_empty() {
        // Nobody listens when the run has ended in the meantime.
        let _ = output.send(text).await;
    }
}

async fn give_up(handle: RequestHandle<RoleClient>, reason: &str) {
    let notice = handle.cancel(Some(reason.to_owned()));
    // A server that does not read its input cannot be told; its process is killed with the run.
    let _ = tokio::time::timeout(CANCEL_NOTICE_TIMEOUT, notice).await;
}

/// Waits for streamed output that the answer has overtaken.
async fn drain(
    result: &CallToolResult,
    pieces: &mut mpsc::Receiver<Piece>,
    order: &mut Reorder,
    output: &mpsc::Sender<String>,
) {
    let meta = result.meta.as_ref();
    let streamed = meta.and_then(|meta| meta.get(STREAMED_META_KEY)?.as_u64());
    let Some(streamed) = streamed else {
        while let Ok(piece) = pieces.try_recv() {
            show(output, order.push(piece)).await;
        }
        return;
    };
    let rest = async {
        while order.shown() < streamed {
            let Some(piece) = pieces.recv().await else {
                return;
            };
            show(output, order.push(piece)).await;
        }
    };
    let _ = tokio::time::timeout(LATE_OUTPUT_TIMEOUT, rest).await;
}

fn answer_of(result: CallToolResult) -> ToolAnswer {
    let mut parts: Vec<Part> = result.content.into_iter().map(part_of).collect();
    if parts.is_empty() {
        let structured = result.structured_content.as_ref();
        parts.push(Part::text(
            structured.map_or_else(String::new, Value::to_string),
        ));
    }
    ToolAnswer {
        parts,
        structured: result.structured_content,
        is_error: result.is_error.unwrap_or(false),
    }
}

/// Resource links are named, never fetched.
fn part_of(block: ContentBlock) -> Part {
    match block {
        ContentBlock::Text(text) => Part::text(text.text),
        ContentBlock::Image(image) => Part::Image {
            media_type: image.mime_type,
            data: image.data,
        },
        ContentBlock::Resource(embedded) => Part::text(match embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            _ => "[a binary resource that cannot be shown]".to_owned(),
        }),
        ContentBlock::ResourceLink(link) => Part::text(format!("[resource: {}]", link.uri)),
        ContentBlock::Audio(audio) => Part::text(format!("[audio of type {}]", audio.mime_type)),
        _ => Part::text("[content of an unknown kind]"),
    }
}

#[derive(Clone)]
struct Client {
    router: Arc<Router>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("pullwright", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), name)
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        context: NotificationContext<RoleClient>,
    ) {
        // The SDK moves a notification's `_meta` into its extensions.
        let meta = context.extensions.get::<NotificationMetaObject>();
        let offset = meta.and_then(|meta| meta.get(OFFSET_META_KEY)?.as_u64());
        self.router.deliver(params, offset).await;
    }
}

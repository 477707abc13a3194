//! A tool server over any link.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pullwright_protocol::tool::STREAMED_META_KEY;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject,
    ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, ServiceExt};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{ErrorData, RoleServer};
use rustix::fs::FileType;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;

use crate::arguments::parse_arguments;
use crate::call::{Call, Output, Refusal};
use crate::panics;
use crate::tool::{ToolDef, attached, content_of};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler = Arc<dyn Fn(JsonObject, Call) -> BoxFuture<Result<Output, Refusal>> + Send + Sync>;

/// The longest message a tool server takes or sends, in bytes. Longer ones would be dropped by
/// MCP peers without an answer.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A set of tools over one shared state. A clone shares the state.
pub struct ToolServer<S> {
    name: &'static str,
    version: &'static str,
    state: Arc<S>,
    tools: BTreeMap<Cow<'static, str>, (Tool, Handler)>,
}

impl<S: Send + Sync + 'static> ToolServer<S> {
    /// A server without tools yet.
    #[must_use]
    pub fn new(name: &'static str, version: &'static str, state: Arc<S>) -> Self {
        Self {
            name,
            version,
            state,
            tools: BTreeMap::new(),
        }
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool<Args, Run, Fut>(mut self, def: ToolDef, run: Run) -> Self
    where
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Run: Fn(Arc<S>, Args, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Output, Refusal>> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let run = Arc::new(run);
        let tool = def.describe::<Args>();
        let (name, schema) = (def.name().clone(), Arc::clone(&tool.input_schema));
        let called = name.clone();
        let handler: Handler = Arc::new(move |arguments, call| {
            let (state, run) = (Arc::clone(&state), Arc::clone(&run));
            let (name, arguments) = (called.clone(), parse_arguments(arguments, &schema));
            let answer = async move { run(state, arguments?, call).await };
            Box::pin(async move { panics::answered(&name, answer).await })
        });
        self.tools.insert(name, (tool, handler));
        self
    }

    /// Adds the tools of another server.
    ///
    /// # Errors
    /// When both have a tool of the same name.
    pub fn and<T>(mut self, other: ToolServer<T>) -> Result<Self, SameName> {
        for (name, tool) in other.tools {
            if self.tools.contains_key(&name) {
                return Err(SameName(name));
            }
            self.tools.insert(name, tool);
        }
        Ok(self)
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Calls a tool without a link.
    ///
    /// # Errors
    /// When there is no such tool, or it refuses.
    pub async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        call: Call,
    ) -> Result<Output, Refusal> {
        let Some((_, handler)) = self.tools.get(tool) else {
            return Err(Refusal::new(format!("{} has no tool `{tool}`", self.name)));
        };
        handler(arguments, call).await
    }
}

/// Two servers that were to become one have a tool of the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("both servers have a tool `{0}`; serve them apart")]
pub struct SameName(pub Cow<'static, str>);

// Derived, it would ask for a state that can be cloned.
impl<S> Clone for ToolServer<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            version: self.version,
            state: Arc::clone(&self.state),
            tools: self.tools.clone(),
        }
    }
}

/// Serves tools over a byte stream until the client closes it.
///
/// # Errors
/// When the client does not speak MCP, or the server's task breaks.
pub async fn serve<S, R, W>(server: ToolServer<S>, read: R, write: W) -> std::io::Result<()>
where
    S: Send + Sync + 'static,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let transport =
        AsyncRwTransport::new_server(read, write).with_max_line_length(MAX_MESSAGE_BYTES);
    let running = match server.serve(transport).await {
        Ok(running) => running,
        // A client that only asked who we are and left again.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(std::io::Error::other(error)),
    };
    running.waiting().await.map_err(std::io::Error::other)?;
    Ok(())
}

/// Serves tools over standard input and output.
///
/// # Errors
/// As [`serve`].
pub async fn serve_stdio<S: Send + Sync + 'static>(server: ToolServer<S>) -> std::io::Result<()> {
    match stdio_pipes() {
        Ok((input, output)) => serve(server, input, output).await,
        // A file, a terminal or a socket.
        Err(_) => serve(server, tokio::io::stdin(), tokio::io::stdout()).await,
    }
}

/// Standard input and output as what they mostly are. Tokio's own read and write on another thread,
/// which costs each message two changes of threads.
fn stdio_pipes() -> std::io::Result<(pipe::Receiver, pipe::Sender)> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    let output = std::io::stdout().as_fd().try_clone_to_owned()?;
    // Both or neither: a descriptor that is made non-blocking stays it.
    for end in [&input, &output] {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(end)?.st_mode);
        if kind != FileType::Fifo {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
    }
    let input = pipe::Receiver::from_owned_fd(input)?;
    Ok((input, pipe::Sender::from_owned_fd(output)?))
}

impl<S: Send + Sync + 'static> ServerHandler for ToolServer<S> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(self.name, self.version))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools.values().map(|(tool, _)| tool.clone()).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    /// Asked for the headers that repeat some of a tool's arguments.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.get(name).map(|(tool, _)| tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some((_, handler)) = self.tools.get(request.name.as_ref()) else {
            return Err(ErrorData::invalid_params(
                format!("{} has no tool `{}`", self.name, request.name),
                None,
            ));
        };
        let arguments = request.arguments.unwrap_or_default();
        let call = Call::new(context);
        let streamed = call.streamed();
        let output = match handler(arguments, call).await {
            Ok(output) => output,
            Err(refusal) => Output::text(refusal.0).as_error(),
        };
        let streamed = streamed.load(Ordering::Relaxed);
        Ok(CallToolResponse::Complete(result_of(output, streamed)))
    }
}

fn result_of(output: Output, streamed: u64) -> CallToolResult {
    let attachments = output.attachments.into_iter().map(attached);
    let content = output.parts.into_iter().map(content_of);
    let content = content.chain(attachments).collect();
    let mut result = if output.is_error {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    };
    result.structured_content = output.structured;
    if streamed > 0 {
        let mut meta = MetaObject::new();
        meta.insert(STREAMED_META_KEY.to_owned(), streamed.into());
        result.meta = Some(meta);
    }
    result
}

//! One tool server: a handle that outlives the connections to it.

mod answer;
mod connection;
mod dial;
mod error;
mod failure;
mod handler;
mod listing;
mod offer;
mod options;
mod output;
mod restarts;
mod supervisor;
mod transport;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{JsonObject, RequestMetaObject, Tool};
use tokio::sync::{mpsc, watch as state};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use answer::ToolAnswer;
pub use error::{ToolCallError, ToolServerError};
pub use options::ToolServerOptions;

use super::approval::Approval;
use super::connector::Connector;
use super::notice::ToolNotice;
use connection::{Call, Connection};
use failure::Failure;

/// How many notices may wait for whoever reads them; more are dropped, and logged.
const QUEUED_NOTICES: usize = 64;

/// How long a call whose server died waits for news of it: the model should know whether there still
/// is a server, but not wait for one that starts slowly.
const NEWS_TIMEOUT: Duration = Duration::from_secs(10);

/// A tool server. Its list of tools is frozen when it is first connected; the connection is replaced
/// when the server dies.
pub struct ToolServer {
    shared: Arc<Shared>,
    notices: Mutex<Option<mpsc::Receiver<ToolNotice>>>,
    supervisor: JoinHandle<()>,
}

/// What the handle and its supervisor share.
struct Shared {
    options: ToolServerOptions,
    connector: Arc<dyn Connector>,
    approval: Arc<dyn Approval>,
    tools: Vec<Tool>,
    /// Why a tool of the list is not called any more, by name.
    refusals: Mutex<BTreeMap<String, String>>,
    state: state::Sender<State>,
    notices: mpsc::Sender<ToolNotice>,
}

/// Where a server is.
#[derive(Clone)]
enum State {
    Up(Arc<Connection>),
    /// It was lost and is brought back.
    Down,
    /// It ended and stays so.
    Gone(String),
}

impl ToolServer {
    /// Connects and lists the tools, within the startup timeout.
    ///
    /// # Errors
    /// When the server does not answer in time or does not speak MCP.
    pub async fn connect(
        options: ToolServerOptions,
        connector: Arc<dyn Connector>,
        approval: Arc<dyn Approval>,
    ) -> Result<Self, ToolServerError> {
        let limit = options.startup_timeout;
        let first = supervisor::first(&options, connector.as_ref(), &approval);
        let first = tokio::time::timeout(limit, first).await;
        let first = first.map_err(|_| ToolServerError::late(&options.name, limit))??;
        let (notices, receiver) = mpsc::channel(QUEUED_NOTICES);
        let (state, _) = state::channel(State::Up(Arc::new(first.connection)));
        let shared = Arc::new(Shared {
            options,
            connector,
            approval,
            tools: first.tools,
            refusals: Mutex::new(first.refusals),
            state,
            notices,
        });
        for notice in first.notices {
            shared.tell(notice);
        }
        let supervising = supervisor::supervise(Arc::clone(&shared), first.hidden);
        Ok(Self {
            supervisor: tokio::spawn(supervising.in_current_span()),
            notices: Mutex::new(Some(receiver)),
            shared,
        })
    }

    /// The row's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// The tools it offers, sorted by name.
    #[must_use]
    pub fn tools(&self) -> &[Tool] {
        &self.shared.tools
    }

    /// Whether a run cannot go on without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.shared.options.required
    }

    /// What it tells from now on, and has told so far; nothing the second time.
    pub fn take_notices(&self) -> Option<mpsc::Receiver<ToolNotice>> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.take()
    }

    pub(crate) fn short_names(&self) -> bool {
        self.shared.options.short_names
    }

    /// The tool that plays `role` in the pipeline, if this server has one.
    #[must_use]
    pub fn tool_with_role(&self, role: &str) -> Option<&str> {
        let tools = self.tools().iter();
        let mut with_role = tools.filter(|tool| super::role_of(tool) == Some(role));
        let tool = with_role.next()?;
        Some(&tool.name)
    }

    /// Calls a tool. Output it streams goes to `output`, in order, while it works.
    ///
    /// A server that is being brought back is waited for, within the tool's time. One that is lost
    /// during the call is asked again only if the tool says that this does no harm.
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
        let call = Call {
            tool,
            arguments,
            meta,
            output,
            cancel,
            deadline: Instant::now() + self.shared.options.tool_timeout,
        };
        let answer = match self.attempt(&call).await? {
            Err(Failure::Lost { begun, .. }) if !begun || self.may_repeat(tool) => {
                self.attempt(&call).await?
            }
            answer => answer,
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(Failure::Lost { reason, .. }) => Err(self.shared.after_loss(&call, reason).await),
            Err(failure) => Err(self.shared.call_error(failure)),
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Result<ToolAnswer, Failure>, ToolCallError> {
        let connection = self.shared.connection(call).await?;
        if let Some(reason) = self.shared.refusal(call.tool) {
            return Err(ToolCallError::Refused(reason));
        }
        Ok(connection.call(call.clone()).await)
    }

    fn may_repeat(&self, tool: &str) -> bool {
        let tool = self.tools().iter().find(|known| known.name == tool);
        let hints = tool.and_then(|tool| tool.annotations.as_ref());
        hints.is_some_and(|hints| {
            hints.idempotent_hint == Some(true) || hints.read_only_hint == Some(true)
        })
    }
}

impl Drop for ToolServer {
    fn drop(&mut self) {
        self.supervisor.abort();
        // The connection ends now, not when the runtime finds the time to drop the supervisor.
        let state = State::Gone("the run has ended".to_owned());
        self.shared.state.send_replace(state);
    }
}

impl Shared {
    /// The connection, once there is one.
    async fn connection(&self, call: &Call<'_>) -> Result<Arc<Connection>, ToolCallError> {
        let mut state = self.state.subscribe();
        let usable = state.wait_for(State::is_settled);
        let settled = tokio::select! {
            settled = tokio::time::timeout_at(call.deadline, usable) => settled,
            () = call.cancel.cancelled() => return Err(ToolCallError::Cancelled),
        };
        match settled.map(|settled| settled.map(|state| State::clone(&state))) {
            Ok(Ok(State::Up(connection))) => Ok(connection),
            Ok(Ok(State::Gone(reason))) => Err(self.gone(reason)),
            Ok(Ok(State::Down) | Err(_)) | Err(_) => Err(ToolCallError::Down {
                server: self.options.name.clone(),
                seconds: self.options.tool_timeout.as_secs(),
            }),
        }
    }

    /// The connection there is, even one that has ended.
    fn up(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Up(connection) => Some(Arc::clone(connection)),
            State::Down | State::Gone(_) => None,
        }
    }

    /// What to say of a call whose server died: first of all, whether the server is back.
    async fn after_loss(&self, call: &Call<'_>, reason: String) -> ToolCallError {
        let server = self.options.name.clone();
        let call = Call {
            deadline: call.deadline.min(Instant::now() + NEWS_TIMEOUT),
            ..call.clone()
        };
        match self.connection(&call).await {
            Err(gone @ ToolCallError::Gone { .. }) => gone,
            Err(ToolCallError::Cancelled) => ToolCallError::Cancelled,
            _ => ToolCallError::Lost { server, reason },
        }
    }

    fn call_error(&self, failure: Failure) -> ToolCallError {
        match failure {
            Failure::Timeout => ToolCallError::Timeout {
                seconds: self.options.tool_timeout.as_secs(),
            },
            Failure::Cancelled => ToolCallError::Cancelled,
            Failure::Refused(reason) => ToolCallError::Refused(reason),
            Failure::Lost { reason, .. } => ToolCallError::Lost {
                server: self.options.name.clone(),
                reason,
            },
        }
    }

    fn gone(&self, reason: String) -> ToolCallError {
        ToolCallError::Gone {
            server: self.options.name.clone(),
            reason,
        }
    }

    fn refusal(&self, tool: &str) -> Option<String> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.get(tool).cloned()
    }

    fn tell(&self, notice: ToolNotice) {
        if let Err(error) = self.notices.try_send(notice) {
            tracing::info!(server = %self.options.name, %error, "nobody reads this notice");
        }
    }
}

impl State {
    /// A connection that has ended is as good as none, even before the supervisor has seen it.
    fn is_settled(&self) -> bool {
        match self {
            Self::Up(connection) => !connection.ended().is_cancelled(),
            Self::Down => false,
            Self::Gone(_) => true,
        }
    }
}

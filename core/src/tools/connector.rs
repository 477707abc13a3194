//! How a tool server is reached, again and again.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pullwright_link::McpHttp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::server::ToolServerError;

/// Opens connections to one tool server: the first one, and a new one when it has died.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Starts the server, or finds it. What an earlier connection held is gone by then.
    ///
    /// # Errors
    /// When it cannot be started or found.
    async fn open(&self) -> Result<ToolIo, ToolServerError>;

    /// Why it can never be opened again, where that is known.
    fn lost(&self) -> Option<String> {
        None
    }
}

/// A connection that is there already and cannot be opened again.
pub struct OpenOnce(Mutex<Option<ToolIo>>);

impl OpenOnce {
    /// Gives `io` to the first who opens it.
    #[must_use]
    pub fn new(io: ToolIo) -> Self {
        Self(Mutex::new(Some(io)))
    }

    fn io(&self) -> MutexGuard<'_, Option<ToolIo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for OpenOnce {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        let io = self.io().take();
        io.ok_or_else(|| ToolServerError::Startup {
            name: "connection".to_owned(),
            reason: OPENED.to_owned(),
        })
    }

    fn lost(&self) -> Option<String> {
        self.io().is_none().then(|| OPENED.to_owned())
    }
}

const OPENED: &str = "its connection ended and cannot be opened again";

/// An open way to a tool server.
pub enum ToolIo {
    /// Byte streams with one message a line, and what keeps them alive.
    Bytes {
        /// What the server writes.
        read: Box<dyn AsyncRead + Send + Unpin>,
        /// What the server reads.
        write: Box<dyn AsyncWrite + Send + Unpin>,
        /// Dropped with the connection; kills a child process.
        guard: Box<dyn Any + Send + Sync>,
    },
    /// Streamable HTTP.
    Http(McpHttp),
}

impl ToolIo {
    /// Byte streams, kept alive by `guard`.
    pub fn bytes(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
        guard: impl Any + Send + Sync,
    ) -> Self {
        Self::Bytes {
            read: Box::new(read),
            write: Box::new(write),
            guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for ToolIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { .. } => f.write_str("ToolIo::Bytes"),
            Self::Http(http) => f.debug_tuple("ToolIo::Http").field(http).finish(),
        }
    }
}

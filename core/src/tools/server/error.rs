//! Why a tool server cannot be used, and why a call has no answer.

use std::time::Duration;

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
    /// The call was refused as such.
    #[error("{0}")]
    Refused(String),
    /// The server was lost during the call and is brought back.
    #[error(
        "tool server `{server}` was lost during the call ({reason}); it is brought back and may have \
         forgotten what it knew. The call may or may not have taken effect: look before you repeat it"
    )]
    Lost {
        /// The row's name.
        server: String,
        /// What is known of it.
        reason: String,
    },
    /// The server was lost earlier and was not back in time.
    #[error("tool server `{server}` is being brought back and was not there within {seconds} s")]
    Down {
        /// The row's name.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// The server is gone for good.
    #[error("tool server `{server}` is gone: {reason}")]
    Gone {
        /// The row's name.
        server: String,
        /// What is known of it.
        reason: String,
    },
}

impl ToolServerError {
    pub(crate) fn startup(name: &str, reason: impl Into<String>) -> Self {
        Self::Startup {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn late(name: &str, limit: Duration) -> Self {
        Self::StartupTimeout {
            name: name.to_owned(),
            seconds: limit.as_secs(),
        }
    }
}

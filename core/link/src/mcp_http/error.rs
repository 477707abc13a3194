//! What can go wrong with an exchange. No credential and no query of an address is in a message.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;

/// Why an exchange with an MCP server failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum McpHttpError {
    /// The client cannot be made.
    #[error("the HTTP client cannot be set up: {0}")]
    SetUp(String),
    /// A header's name or value is none that HTTP can carry.
    #[error("the header `{0}` has a name or a value that HTTP cannot carry")]
    Header(String),
    /// There is no connection: nothing was sent.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke on the way: the request may have been carried out.
    #[error("the connection to {host} broke: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// The head of the answer did not come in time.
    #[error("{host} did not begin to answer within {} s", .limit.as_secs_f32())]
    Silent {
        /// The host.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer points elsewhere.
    #[error(
        "{host} answered with a redirect to {target}, which is not followed because the \
         credentials are for {host} only; write the final address in `url`"
    )]
    Redirect {
        /// The host.
        host: String,
        /// The host it points to.
        target: String,
    },
    /// The answer is larger than anybody can use.
    #[error("{host} sent more than {limit} bytes as one {what}, so it was not read any further")]
    TooLarge {
        /// The host.
        host: String,
        /// `answer` or `event`.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is an HTTP error.
    #[error("{host} answered with HTTP {status}{}", advice(*.status))]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// The answer is no MCP message.
    #[error("{host} did not answer with an MCP message: {reason}")]
    Malformed {
        /// The host.
        host: String,
        /// What it is instead.
        reason: String,
    },
}

impl McpHttpError {
    /// Whether the server itself seems to be gone, as opposed to answering badly.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }
}

/// Sorts out why a request had no answer.
pub(super) fn of_request(host: String, error: reqwest::Error) -> McpHttpError {
    let unsent = error.is_connect();
    let reason = chain(&error.without_url());
    if unsent {
        McpHttpError::Unreachable { host, reason }
    } else {
        McpHttpError::Broken { host, reason }
    }
}

pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn advice(status: u16) -> &'static str {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            "; does the variable named by `bearer_token_env_var` hold a token that is good for it?"
        }
        Ok(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            "; is `url` the address of the MCP endpoint itself?"
        }
        _ => "",
    }
}

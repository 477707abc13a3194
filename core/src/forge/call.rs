//! One call of a forge's tool, found by its role.

use std::time::Duration;

use pullwright_protocol::forge::ForgeLater;
use pullwright_protocol::item::joined_text;
use rmcp::model::RequestMetaObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::tools::ToolServer;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    /// No tool has that role.
    #[error("it has no tool with the role {0}")]
    NoRole(&'static str),
    /// The same call may succeed later.
    #[error("{said}")]
    Later {
        /// How long to wait before it.
        wait: Duration,
        /// Whether the code host is out of order, and nobody knows for how long.
        is_outage: bool,
        /// What the forge says.
        said: String,
    },
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
}

/// Calls the tool with the role. Nothing is streamed and nothing is interrupted half-way.
pub(crate) async fn call<T: DeserializeOwned>(
    server: &ToolServer,
    role: &'static str,
    arguments: &impl Serialize,
    meta: RequestMetaObject,
) -> Result<T, CallFault> {
    let failed = |reason: String| CallFault::Failed(reason);
    let tool = server.tool_with_role(role);
    let tool = tool.ok_or(CallFault::NoRole(role))?;
    let Ok(Value::Object(arguments)) = serde_json::to_value(arguments) else {
        return Err(failed("the arguments are no JSON object".to_owned()));
    };
    let (output, _) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let answer = server.call(tool, arguments, meta, &output, &cancel).await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    let structured = answer.structured.unwrap_or_default();
    if answer.is_error {
        return Err(refused(joined_text(&answer.parts), structured));
    }
    serde_json::from_value(structured)
        .map_err(|error| failed(format!("its answer is not understood: {error}")))
}

fn refused(said: String, structured: Value) -> CallFault {
    match serde_json::from_value::<ForgeLater>(structured) {
        Ok(later) => CallFault::Later {
            wait: Duration::from_millis(later.retry_after_ms),
            is_outage: later.is_outage,
            said,
        },
        Err(_) => CallFault::Failed(said),
    }
}

//! A tool server's handle, against a server whose every word the test decides.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod fake;
mod handshake;
mod lists;
mod refusals;
mod restarts;

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::tools::{
    Approval, ApproveAll, ToolAnswer, ToolCallError, ToolNotice, ToolServer, ToolServerError,
    ToolServerOptions,
};
use pullwright_protocol::item::joined_text;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use fake::Fake;

/// No wait of a test is longer: a hang fails instead of blocking.
const PATIENCE: Duration = Duration::from_secs(30);

fn options() -> ToolServerOptions {
    ToolServerOptions {
        name: "fake".to_owned(),
        builtin: false,
        short_names: false,
        startup_timeout: Duration::from_secs(10),
        tool_timeout: Duration::from_secs(10),
        enabled_tools: None,
        disabled_tools: Vec::new(),
        required: false,
    }
}

async fn connect(fake: &Fake) -> ToolServer {
    connect_with(fake, options(), Arc::new(ApproveAll))
        .await
        .unwrap()
}

async fn connect_with(
    fake: &Fake,
    options: ToolServerOptions,
    approval: Arc<dyn Approval>,
) -> Result<ToolServer, ToolServerError> {
    in_time(ToolServer::connect(
        options,
        Arc::new(fake.clone()),
        approval,
    ))
    .await
}

async fn call(server: &ToolServer, tool: &str) -> Result<ToolAnswer, ToolCallError> {
    call_until(server, tool, &CancellationToken::new()).await
}

async fn call_until(
    server: &ToolServer,
    tool: &str,
    cancel: &CancellationToken,
) -> Result<ToolAnswer, ToolCallError> {
    let (output, _pieces) = mpsc::channel(64);
    let (arguments, meta) = (Default::default(), Default::default());
    in_time(server.call(tool, arguments, meta, &output, cancel)).await
}

/// The text of a call that must be answered.
async fn answered(server: &ToolServer, tool: &str) -> String {
    joined_text(&call(server, tool).await.unwrap().parts)
}

/// The next notice.
async fn notice(notices: &mut mpsc::Receiver<ToolNotice>) -> ToolNotice {
    in_time(notices.recv()).await.unwrap()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

//! npm `@modelcontextprotocol/inspector`: an MCP client that is not ours.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use std::time::Duration;

use serde_json::Value;

use super::process::Peers;

/// It starts two processes of Node.js and the server under test.
const INSPECT_LIMIT: Duration = Duration::from_secs(90);

/// Lists the tools of the stdio server that `command` starts.
pub(crate) async fn list_tools(peers: &Peers, command: &[&str]) -> Value {
    inspect(peers, command, &["--method", "tools/list"]).await
}

/// Calls a tool of the stdio server that `command` starts, with arguments as `key=value`.
pub(crate) async fn call_tool(
    peers: &Peers,
    command: &[&str],
    tool: &str,
    arguments: &[&str],
) -> Value {
    let mut options = vec!["--method", "tools/call", "--tool-name", tool];
    for argument in arguments {
        options.extend(["--tool-arg", argument]);
    }
    inspect(peers, command, &options).await
}

/// Runs the inspector's command line and reads the JSON it prints.
pub(crate) async fn inspect(peers: &Peers, command: &[&str], options: &[&str]) -> Value {
    let home = tempfile::tempdir().unwrap();
    let script = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    let mut inspector = peers.command(script, home.path());
    inspector.arg("--cli").args(command).args(options);
    let output = tokio::time::timeout(INSPECT_LIMIT, inspector.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("no answer in {INSPECT_LIMIT:?}"))
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}"))
}

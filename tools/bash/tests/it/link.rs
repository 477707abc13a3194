//! The tool over a real MCP link: progress, cancellation, the end of the link.

use std::sync::{Arc, Mutex};

use pullwright_tool_kit::protocol::tool::OFFSET_META_KEY;
use pullwright_tool_kit::serve;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, NotificationMetaObject,
    ProgressNotificationParam, ServerResult,
};
use rmcp::service::{
    NotificationContext, PeerRequestOptions, RequestHandle, RunningService, ServiceError,
    ServiceExt,
};
use rmcp::{RoleClient, object};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Workspace, lives, pid_in, until, until_dead};

/// Remembers the progress it hears of.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Arc<Mutex<Vec<(u64, String)>>>);

impl ClientHandler for Watcher {
    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        context: NotificationContext<RoleClient>,
    ) {
        // The client keeps what was in `_meta` only here.
        let meta = context.extensions.get::<NotificationMetaObject>();
        let offset = meta.and_then(|meta| meta.get(OFFSET_META_KEY));
        let offset = offset.and_then(Value::as_u64).unwrap();
        self.0
            .lock()
            .unwrap()
            .push((offset, progress.message.unwrap()));
    }
}

impl Watcher {
    /// Everything heard so far, in the order it was printed.
    fn heard(&self) -> String {
        let mut pieces = self.0.lock().unwrap().clone();
        pieces.sort();
        pieces.into_iter().map(|(_, text)| text).collect()
    }
}

/// A client of a tool server behind a pair of streams.
pub(crate) async fn client<S>(stream: S) -> (RunningService<RoleClient, Watcher>, Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let watcher = Watcher::default();
    (watcher.clone().serve(stream).await.unwrap(), watcher)
}

/// Starts a call and does not wait for it.
pub(crate) async fn start(
    client: &RunningService<RoleClient, Watcher>,
    command: &str,
    options: PeerRequestOptions,
) -> RequestHandle<RoleClient> {
    let params = CallToolRequestParams::new("bash").with_arguments(object!({ "command": command }));
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    client
        .send_cancellable_request(request, options)
        .await
        .unwrap()
}

/// The text of an answer.
pub(crate) async fn answer(handle: RequestHandle<RoleClient>) -> String {
    match handle.await_response().await.unwrap() {
        ServerResult::CallToolResult(result) => result.content[0].as_text().unwrap().text.clone(),
        other => panic!("{other:?}"),
    }
}

async fn linked(
    workspace: Workspace,
) -> (
    RunningService<RoleClient, Watcher>,
    Watcher,
    tempfile::TempDir,
) {
    let (near, far) = tokio::io::duplex(4096);
    let (read, write) = tokio::io::split(far);
    let Workspace { folder, server } = workspace;
    tokio::spawn(serve(server, read, write));
    let (client, watcher) = client(near).await;
    (client, watcher, folder)
}

fn wait_for(folder: &tempfile::TempDir, file: &str) -> impl Future<Output = u32> {
    let path = folder.path().join(file);
    async move {
        until("a process number", || {
            std::fs::read_to_string(&path)
                .ok()?
                .strip_suffix('\n')?
                .parse()
                .ok()
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_streamed_while_the_command_runs() {
    let (client, watcher, folder) = linked(Workspace::new()).await;
    let command =
        "echo one; printf '\\033[1mtw'; until [ -e seen ]; do sleep 0.01; done; echo o; echo 3";
    let call = start(&client, command, PeerRequestOptions::default()).await;
    // The command goes on only after its first line was seen.
    until("the first line", || {
        (watcher.heard() == "one\n").then_some(())
    })
    .await;
    std::fs::write(folder.path().join("seen"), "").unwrap();
    assert_eq!(answer(call).await, "one\ntwo\n3");
    until("the rest", || {
        (watcher.heard() == "one\ntwo\n3\n").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_is_streamed_up_to_a_limit() {
    let (client, watcher, _folder) = linked(Workspace::new()).await;
    let command = "timeout 1 yes éàü";
    let call = start(&client, command, PeerRequestOptions::default()).await;
    assert!(answer(call).await.contains("[exit code 124]"));
    let end = "the command prints more than is shown while it runs ...]\n";
    until("the end of the stream", || {
        watcher.heard().ends_with(end).then_some(())
    })
    .await;
    let heard = watcher.heard();
    assert!(heard.len() < 300 * 1024, "{} bytes", heard.len());
    assert!(heard.starts_with("éàü\néàü\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_command_is_answered_without_streaming() {
    let (client, watcher, _folder) = linked(Workspace::new()).await;
    for _ in 0..3 {
        let call = start(&client, "echo short", PeerRequestOptions::default()).await;
        assert_eq!(answer(call).await, "short");
    }
    // On a busy machine a command may take long enough to be streamed, then in full.
    let heard = watcher.heard();
    assert!(heard.is_empty() || heard.starts_with("short\n"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_is_killed() {
    let (client, _watcher, folder) = linked(Workspace::new()).await;
    let command = "sleep 1000 & echo $! >pid; wait";
    let call = start(&client, command, PeerRequestOptions::default()).await;
    let pid = wait_for(&folder, "pid").await;
    call.cancel(Some("enough".to_owned())).await.unwrap();
    until_dead(pid).await;
    let again = start(&client, "echo still here", PeerRequestOptions::default()).await;
    assert_eq!(answer(again).await, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_the_client_gave_up_is_killed() {
    let (client, _watcher, folder) = linked(Workspace::new()).await;
    let mut options = PeerRequestOptions::default();
    options.timeout = Some(std::time::Duration::from_millis(500));
    let call = start(&client, "echo $$ >pid; exec sleep 1000", options).await;
    let pid = wait_for(&folder, "pid").await;
    let error = call.await_response().await.unwrap_err();
    assert!(matches!(error, ServiceError::Timeout { .. }), "{error}");
    until_dead(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_link_kills_running_and_left_processes() {
    let workspace = Workspace::new();
    workspace.run("sleep 1000 & echo $! >left").await;
    let left = pid_in(&workspace, "left").await;
    let (client, _watcher, folder) = linked(workspace).await;
    let command = "echo $$ >pid; exec sleep 1000";
    let _call = start(&client, command, PeerRequestOptions::default()).await;
    let running = wait_for(&folder, "pid").await;
    assert!(lives(left) && lives(running));
    client.cancel().await.unwrap();
    until_dead(running).await;
    until_dead(left).await;
}

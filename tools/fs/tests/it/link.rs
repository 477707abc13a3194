//! The server over a real MCP link, with the official client.

use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use serde_json::{Value, json};

type Client = rmcp::service::RunningService<rmcp::RoleClient, ()>;

/// Prevents a test from hanging when the link breaks.
const LINK_TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

async fn connect(root: &std::path::Path) -> Client {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(theirs);
    let server = pullwright_fs::server(root.to_owned());
    tokio::spawn(pullwright_tool_kit::serve(server, read, write));
    ().serve(ours).await.unwrap()
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    let called = tokio::time::timeout(LINK_TIME_LIMIT, client.call_tool(params));
    called.await.unwrap().unwrap()
}

fn text(result: &CallToolResult) -> String {
    serde_json::to_value(result).unwrap()["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_tool_list_is_what_the_model_reads() {
    let temp = tempfile::tempdir().unwrap();
    let client = connect(temp.path()).await;
    insta::assert_json_snapshot!(client.list_all_tools().await.unwrap());
}

#[tokio::test]
async fn a_file_is_written_edited_and_read_over_the_link() {
    let temp = tempfile::tempdir().unwrap();
    let client = connect(temp.path()).await;
    let made = call(
        &client,
        "write",
        json!({"path": "a/b.txt", "content": "one\ntwo\n"}),
    )
    .await;
    assert_eq!(made.is_error, Some(false));
    let edit = json!({"path": "a/b.txt", "old_str": "two", "new_str": "zwei"});
    assert_eq!(
        text(&call(&client, "edit", edit.clone()).await),
        "edited `a/b.txt` at line 2"
    );
    let again = call(&client, "edit", edit).await;
    assert_eq!(again.is_error, Some(true));
    assert!(text(&again).starts_with("old_str is not in `a/b.txt`"));
    let read = call(&client, "read", json!({"path": "a/b.txt"})).await;
    assert_eq!(text(&read), "     1\tone\n     2\tzwei\n");
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn wrong_arguments_are_an_answer() {
    let temp = tempfile::tempdir().unwrap();
    let client = connect(temp.path()).await;
    let answer = call(&client, "read", json!({"file_path": "a", "limit": "10"})).await;
    assert_eq!(answer.is_error, Some(true));
    assert_eq!(
        text(&answer),
        "the arguments do not fit the tool: there is no `file_path`, did you mean `path`?; \
         `limit` must be of type integer, but is string; `path` is missing"
    );
}

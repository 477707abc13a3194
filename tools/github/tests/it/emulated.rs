//! The tools against an emulator of GitHub, and the peers' own self-test.

use std::path::Path;

use pullwright_github::{GithubConfig, Secret};
use pullwright_tool_kit::protocol::forge::{
    ForgeRepository, OpenPullRequest, OpenedPullRequest, Preflight,
};
use rmcp::model::CallToolResult;
use serde_json::json;

use crate::client::{Client, ORIGIN, config};
use crate::peers::aimock::{Aimock, KEY};
use crate::peers::emulate::{Emulate, NAME, OWNER, TOKEN};
use crate::peers::forge::{Forge, git};
use crate::peers::inspector;
use crate::peers::process::Peers;
use crate::peers::rest::request;

fn repository(origin: &str) -> ForgeRepository {
    ForgeRepository {
        origin: origin.to_owned(),
        owner: OWNER.to_owned(),
        name: NAME.to_owned(),
    }
}

async fn client(api: &Emulate, origin: &str) -> Client {
    Client::start(GithubConfig {
        token: Some(Secret::new(TOKEN)),
        origin: origin.to_owned(),
        ..config(&api.url())
    })
    .await
}

fn wanted(origin: &str, head: &str, head_sha: &str, title: &str) -> OpenPullRequest {
    OpenPullRequest {
        repository: repository(origin),
        head: head.to_owned(),
        head_sha: head_sha.to_owned(),
        base: "main".to_owned(),
        title: title.to_owned(),
        summary: "Fixes #1, says @octocat.".to_owned(),
        evidence: "**checked**".to_owned(),
        draft: true,
        head_repository: None,
        run: None,
        template: None,
    }
}

fn text_of(result: &CallToolResult) -> String {
    assert_ne!(result.is_error, Some(true), "{result:?}");
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect()
}

#[tokio::test]
async fn the_tools_work_on_an_emulated_github() {
    let Some(peers) = Peers::find("the GitHub tools on an emulated GitHub") else {
        return;
    };
    let api = Emulate::start(&peers, true).await;
    let client = client(&api, ORIGIN).await;

    let seen: Preflight = client
        .pipeline("preflight", &repository(ORIGIN))
        .await
        .unwrap();
    assert_eq!(
        (seen.can_push, &*seen.default_branch),
        (true, "main"),
        "{seen:?}"
    );
    let mut unknown = repository(ORIGIN);
    unknown.name = "nothing".to_owned();
    let message = client
        .pipeline::<Preflight>("preflight", &unknown)
        .await
        .unwrap_err();
    assert!(message.contains("does not exist"), "{message}");

    let issue = json!({"title": "Parser fails", "body": "It fails.", "labels": []});
    api.post("/issues", &issue).await;
    api.post("/issues/1/comments", &json!({"body": "Same here."}))
        .await;
    let ours = || Some(repository(ORIGIN));
    let shown = text_of(&client.call("issue", &json!({"number": 1}), ours()).await);
    assert!(
        shown.contains("> Parser fails") && shown.contains("> Same here."),
        "{shown}"
    );
    let found = text_of(
        &client
            .call("search", &json!({"query": "Parser"}), ours())
            .await,
    );
    assert!(found.contains("#1 issue, open, by dev"), "{found}");

    let main = api.get("/git/ref/heads/main").await["object"]["sha"].clone();
    api.post("/git/refs", &json!({"ref": "refs/heads/work", "sha": main}))
        .await;
    let sha = main.as_str().unwrap();
    let opened: OpenedPullRequest = client
        .pipeline("pull_request", &wanted(ORIGIN, "work", sha, "First"))
        .await
        .unwrap();
    assert!(opened.draft);
    let again: OpenedPullRequest = client
        .pipeline("pull_request", &wanted(ORIGIN, "work", sha, "Second"))
        .await
        .unwrap();
    assert_eq!(again.number, opened.number);
    let pulls = api.get("/pulls?state=all").await;
    assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls}");
    assert_eq!(pulls[0]["title"], "Second");
    let shown = client
        .call("pull", &json!({"number": opened.number}), ours())
        .await;
    assert!(text_of(&shown).contains("from dev/demo:work to dev/demo:main"));
    api.stop().await;
}

#[tokio::test]
async fn a_push_over_http_is_the_head_of_the_pull_request() {
    let Some(peers) = Peers::find("git push and pull request on one repository") else {
        return;
    };
    let files = [("README.md", "demo\n"), ("src/deep/a.txt", "ä\n")];
    let forge = Forge::start(&peers, &files).await;
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let with_token = forge
        .clone_url()
        .replace("http://", &format!("http://x-access-token:{TOKEN}@"));
    git(folder.path(), &["clone", "--quiet", &with_token, "work"]).await;
    assert_eq!(
        std::fs::read_to_string(work.join("src/deep/a.txt")).unwrap(),
        "ä\n"
    );
    let refused = tokio::process::Command::new("git")
        .args(["-c", "credential.helper=", "ls-remote", &forge.clone_url()])
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .await
        .unwrap();
    assert!(!refused.status.success(), "no password was asked for");

    let pushed = push(&work, "one.txt", "One\n\nwith a body").await;
    let client = client(&forge.api, &forge.git.origin()).await;
    let wanted = wanted(&forge.git.origin(), "work", &pushed, "One");
    let opened: OpenedPullRequest = client.pipeline("pull_request", &wanted).await.unwrap();
    let route = format!("/pulls/{}", opened.number);
    assert_eq!(forge.api.get(&route).await["head"]["sha"], json!(pushed));
    let later = push(&work, "two.txt", "Two").await;
    assert_ne!(later, pushed);
    let branch = forge.api.get("/git/ref/heads/work").await;
    assert_eq!(branch["object"]["sha"], json!(later));
    assert_eq!(forge.rev_parse("refs/heads/work").await, later);
}

async fn push(work: &Path, file: &str, message: &str) -> String {
    std::fs::write(work.join(file), file).unwrap();
    git(work, &["add", "--all"]).await;
    git(work, &["commit", "--quiet", "-m", message]).await;
    git(work, &["push", "--quiet", "origin", "HEAD:refs/heads/work"]).await;
    git(work, &["rev-parse", "HEAD"]).await
}

#[tokio::test]
async fn the_model_s_peer_answers_from_its_fixtures() {
    let Some(peers) = Peers::find("the streaming model server") else {
        return;
    };
    let fixtures =
        json!({"fixtures": [{"match": {"turnIndex": 0}, "response": {"content": "Hello"}}]});
    let aimock = Aimock::start(&peers, &fixtures).await;
    let url = format!("{}/v1/messages", aimock.url());
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 16,
        "messages": [{"role": "user", "content": "hi"}]
    });
    let (status, answer) = request("POST", &url, KEY, Some(&body)).await;
    assert_eq!(
        (status, &answer["content"][0]["text"]),
        (200, &json!("Hello")),
        "{answer}"
    );
    assert!(aimock.journal().await.to_string().contains("/v1/messages"));
    aimock.stop().await;
}

/// The smallest MCP server, to see that the inspector is run the right way.
const ECHO: &str = r#"
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const known = {
    initialize: () => ({ protocolVersion: params.protocolVersion, capabilities: { tools: {} },
                         serverInfo: { name: "echo", version: "1" } }),
    "tools/list": () => ({ tools: [{ name: "echo", inputSchema: { type: "object" } }] }),
    "tools/call": () => ({ content: [{ type: "text", text: params.arguments.text }] }),
  }[method];
  const answer = known ? { result: known() } : { error: { code: -32601, message: "unknown" } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
});
"#;

#[tokio::test]
async fn the_inspector_lists_and_calls_tools() {
    let Some(peers) = Peers::find("the MCP inspector") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("echo.cjs");
    std::fs::write(&server, ECHO).unwrap();
    let node = peers.node();
    let command = [node.to_str().unwrap(), server.to_str().unwrap()];
    let listed = inspector::list_tools(&peers, &command).await;
    assert_eq!(listed["tools"][0]["name"], "echo", "{listed}");
    let called = inspector::call_tool(&peers, &command, "echo", &["text=hello"]).await;
    assert_eq!(called["content"][0]["text"], "hello", "{called}");
}

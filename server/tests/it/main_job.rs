//! The main job across real peers: our server as a process of its own, git over HTTP, an emulator of
//! GitHub's API, and a model that streams over HTTP.

#[path = "../../../tools/github/tests/it/app/keys.rs"]
pub(crate) mod app_keys;
mod server;

use std::time::Duration;

use serde_json::{Value, json};

use crate::modal;
use crate::peers::aimock::Aimock;
use crate::peers::emulate;
use crate::peers::forge::{Forge, git};
use crate::peers::inspector;
use crate::peers::process::Peers;
use server::{Account, Place, Server};

/// The task.
const PROMPT: &str = "Greet the world by name";

/// The id of the GitHub App.
const APP_ID: &str = "4711";

const PULLWRIGHT: &str = env!("CARGO_BIN_EXE_pullwright");

const FILES: &[(&str, &str)] = &[
    ("greet.sh", "greet() {\n  echo \"Hello\"\n}\n"),
    (
        "test.sh",
        ". ./greet.sh\n[ \"$(greet)\" = \"Hello\" ] && echo passed\n",
    ),
    ("AGENTS.md", "Plain sh only.\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sentence_becomes_a_pull_request() {
    let Some(peers) = Peers::find("the main job across real peers") else {
        return;
    };
    let forge = Forge::start(&peers, FILES).await;
    let model = Aimock::start(&peers, &model_script()).await;
    let server = Server::start(&forge, &model, &Place::here()).await;
    let frames = server.code(&forge.clone_url(), PROMPT).await;
    is_proposed(&forge, &frames).await;
    server.assert_no_secret_is_kept().await;
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_github_app_needs_one_token_for_it() {
    let Some(peers) = Peers::find("the main job as a GitHub App") else {
        return;
    };
    let rights = json!({"contents": "write", "issues": "read", "metadata": "read",
        "pull_requests": "write", "administration": "write"});
    let app = emulate::app(APP_ID, &app_keys::ours_in_pkcs8(), &rights);
    let forge = Forge::start_with_app(&peers, FILES, app).await;
    let model = Aimock::start(&peers, &model_script()).await;
    let account = Account::App(APP_ID, app_keys::ours());
    let server = Server::start_as(account, &forge, &model, &Place::here()).await;
    let frames = server.code(&forge.clone_url(), PROMPT).await;
    is_proposed(&forge, &frames).await;
    let tokens = forge.api.app_tokens().await;
    assert_eq!(tokens.len(), 1, "{tokens:#?}");
    assert_eq!(tokens[0]["permissions"]["administration"], Value::Null);
    assert_eq!(tokens[0]["repository_ids"].as_array().unwrap().len(), 1);
    assert_eq!(forge.git.leaks(), Vec::<String>::new());
    assert!(forge.git.authorized() > 0);
    server.assert_no_secret_is_kept().await;
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_pull_request_comes_from_modal_where_connections_break() {
    let Some(peers) = Peers::find("the main job at Modal") else {
        return;
    };
    let double = modal::double(Duration::from_secs(1200)).await;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at_modal(&double, &modal::tool_host(folder.path()));
    let forge = Forge::start(&peers, FILES).await;
    let model = Aimock::start(&peers, &model_script()).await;
    let server = Server::start(&forge, &model, &place).await;
    let mut cuts = 0;
    let cutting = async {
        let mut pace = tokio::time::interval(Duration::from_millis(40));
        loop {
            pace.tick().await;
            if double.sandboxes() > 0 {
                double.drop_connections();
                cuts += 1;
            }
        }
    };
    let repository = forge.clone_url();
    let frames = tokio::select! {
        frames = server.code(&repository, PROMPT) => frames,
        () = cutting => unreachable!(),
    };
    is_proposed(&forge, &frames).await;
    assert!(cuts >= 10, "{cuts} cuts");
    let calls = double.calls();
    let reads = calls.iter().filter(|call| call.name == "TaskExecStdioRead");
    assert!(reads.count() >= 10, "{cuts} cuts cut nothing");
    assert_eq!(double.sandboxes(), 0);
    server.assert_no_secret_is_kept().await;
    model.stop().await;
}

/// The change is a pull request, and says so.
async fn is_proposed(forge: &Forge, frames: &[Value]) {
    let done = frames.last().unwrap();
    assert_eq!(done["type"], "Done", "{frames:#?}");
    assert_eq!(done["outcome"], "pull request", "{frames:#?}");
    assert_edits_and_checks(frames);
    let opened = frames
        .iter()
        .find(|frame| frame["type"] == "Pull Request")
        .unwrap();
    let branch = opened["branch"].as_str().unwrap();
    let pushed = forge.rev_parse(&format!("refs/heads/{branch}")).await;
    let number = &opened["number"];
    let pull = forge.api.get(&format!("/pulls/{number}")).await;
    assert_eq!(pull["head"]["sha"], json!(pushed));
    assert_eq!(pull["base"]["ref"], "main");
    assert_eq!(pull["title"], PROMPT);
    let body = pull["body"].as_str().unwrap();
    assert!(
        body.contains("`sh test.sh`") || body.contains("sh test.sh"),
        "{body}"
    );
    assert!(body.contains("passed"), "{body}");
    assert!(!body.contains("@everyone"), "a mention survived: {body}");

    let file = git(&forge.bare(), &["show", &format!("{branch}:greet.sh")]).await;
    assert_eq!(file, "greet() {\n  echo \"Hello, ${1:-world}\"\n}");
    let author = git(&forge.bare(), &["log", "-1", "--format=%an", branch]).await;
    assert_eq!(author, "Pullwright");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_uses_our_tool_servers() {
    let Some(peers) = Peers::find("our tool servers under the MCP inspector") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a.txt"), "one\ntwo\n").unwrap();
    git(root.path(), &["init", "--quiet", "."]).await;
    let folder = root.path().to_str().unwrap();
    let expected = [
        ("fs", "read", "path=a.txt", "two"),
        ("bash", "bash", "command=wc -l < a.txt", "2"),
        ("git", "status", "", "a.txt"),
    ];
    for (server, tool, argument, shown) in expected {
        let command = [PULLWRIGHT, "tool-host", "serve", server, "--root", folder];
        let listed = inspector::list_tools(&peers, &command).await;
        let tools = listed["tools"].as_array().unwrap();
        assert!(
            tools.iter().any(|listed| listed["name"] == tool),
            "{listed}"
        );
        let arguments: Vec<&str> = Some(argument)
            .filter(|text| !text.is_empty())
            .into_iter()
            .collect();
        let answer = inspector::call_tool(&peers, &command, tool, &arguments).await;
        assert!(
            answer["content"][0]["text"]
                .as_str()
                .unwrap()
                .contains(shown),
            "{answer}"
        );
    }
}

fn assert_edits_and_checks(frames: &[Value]) {
    let of = |kind: &str| {
        frames
            .iter()
            .filter(|frame| frame["type"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Tool: Read").len(), 1);
    let edits = of("Tool: Edit");
    assert_eq!(edits.len(), 2);
    assert!(
        edits.iter().all(|edit| edit["isError"] == false),
        "{edits:?}"
    );
    let bash = of("Tool: Bash");
    assert_eq!(bash[0]["exitCode"], 0);
    let checks = of("Check");
    assert_eq!(checks.len(), 2);
    assert_eq!(
        (&checks[0]["phase"], &checks[1]["phase"]),
        (&json!("before"), &json!("after"))
    );
    assert!(
        checks.iter().all(|check| check["exitCode"] == 0),
        "{checks:?}"
    );
    assert_ne!(checks[0]["tree"], checks[1]["tree"]);
    assert!(!of("AI Thinking").is_empty());
}

fn model_script() -> Value {
    let call = |name: &str, arguments: Value| json!({"type": "toolCall", "name": name, "arguments": arguments.to_string()});
    let turn = |index: u32, reasoning: &str, blocks: Vec<Value>| {
        json!({
            "match": {"turnIndex": index},
            "response": {"reasoning": reasoning, "blocks": blocks},
        })
    };
    let greet = json!({
        "path": "greet.sh",
        "old_str": "echo \"Hello\"",
        "new_str": "echo \"Hello, ${1:-world}\"",
    });
    let test = json!({"path": "test.sh", "old_str": "\"Hello\"", "new_str": "\"Hello, world\""});
    let words = "Greet the world by name\n\nThe greeting names whom it greets. cc @everyone";
    json!({"fixtures": [
        turn(0, "I look first.", vec![
            json!({"type": "text", "text": "I read the greeting."}),
            call("read", json!({"path": "greet.sh"})),
        ]),
        turn(1, "Two edits.", vec![call("edit", greet), call("edit", test)]),
        turn(2, "Now the test.", vec![call("bash", json!({"command": "sh test.sh"}))]),
        turn(3, "Done.", vec![json!({"type": "text", "text": words})]),
    ]})
}

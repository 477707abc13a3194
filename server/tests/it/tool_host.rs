//! `pullwright tool-host`: our tool servers for other people's MCP clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use reqwest::StatusCode;
use reqwest::header::{HOST, ORIGIN};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::peers::conformance::{example, server_suite};
use crate::peers::inspector::inspect;
use crate::peers::process::Peers;
use crate::peers::python::CLIENT;
use crate::runs::lab::{Lab, Plan};
use crate::support::in_time;

const PULLWRIGHT: &str = env!("CARGO_BIN_EXE_pullwright");

/// A variable that every test process has, so that none must be set: its value is the token.
const TOKEN_VARIABLE: &str = "PATH";

const EXPECTED_FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../.ci/peers/conformance-server-expected-failures.yml"
);

/// Our tools over HTTP, in a folder. They end with the value.
struct Hosted {
    child: Child,
    address: SocketAddr,
    said: Lines<BufReader<ChildStderr>>,
}

impl Hosted {
    async fn start(root: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(PULLWRIGHT)
            .args([
                "tool-host",
                "git",
                "fs",
                "bash",
                "--http",
                "127.0.0.1:0",
                "--root",
            ])
            .arg(root)
            .args(options)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = in_time(said.next_line()).await.unwrap().unwrap();
        let address = line.strip_prefix("serving tools on http://").unwrap();
        let address = address.strip_suffix("/mcp").unwrap().parse().unwrap();
        Self {
            child,
            address,
            said,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// A request of the older era, as the first of a client.
    fn initialize(&self, token: Option<&str>) -> reqwest::RequestBuilder {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }});
        let request = reqwest::Client::new()
            .post(self.url())
            .header("Accept", "application/json, text/event-stream")
            .header("Content-Type", "application/json")
            .body(body.to_string());
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn status(request: reqwest::RequestBuilder) -> StatusCode {
    in_time(request.send()).await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_and_no_page_reaches_the_tools() {
    let root = tempfile::tempdir().unwrap();
    let mut hosted = Hosted::start(root.path(), &[]).await;
    let line = in_time(hosted.said.next_line()).await.unwrap().unwrap();
    let token = line.strip_prefix("token: ").unwrap();
    assert_eq!(token.len(), 64);
    let admitted = || hosted.initialize(Some(token));
    assert_eq!(status(admitted()).await, StatusCode::OK);
    for wrong in [None, Some("0123456789abcdef")] {
        let refused = hosted.initialize(wrong).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    }
    let page = admitted().header(ORIGIN, "https://example.com");
    assert_eq!(status(page).await, StatusCode::FORBIDDEN);
    let rebound = admitted().header(HOST, "example.com");
    assert_eq!(status(rebound).await, StatusCode::FORBIDDEN);
    let elsewhere = reqwest::Client::new().get(format!("http://{}/", hosted.address));
    assert_eq!(
        status(elsewhere.bearer_auth(token)).await,
        StatusCode::NOT_FOUND
    );
    assert!(hosted.child.try_wait().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_bounded() {
    let root = tempfile::tempdir().unwrap();
    let hosted = Hosted::start(root.path(), &["--no-token"]).await;
    let mut last = StatusCode::OK;
    for _ in 0..=256 {
        last = status(hosted.initialize(None)).await;
    }
    assert_eq!(last, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_uses_tools_over_http_with_a_token() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("note.txt"), "elsewhere\n").unwrap();
    let hosted = Hosted::start(root.path(), &["--token-env", TOKEN_VARIABLE]).await;
    let rows = format!(
        "[tools.far]\nurl = \"{}\"\nbearer_token_env_var = \"{TOKEN_VARIABLE}\"\nrequired = true\n",
        hosted.url()
    );
    let script = r#"
[[replies]]
steps = [
  { tool_call = { name = "far__read", arguments = { path = "note.txt" } } },
  { tool_call = { name = "far__bash", arguments = { command = "echo over; echo http" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["elsewhere", "over\nhttp"] }
steps = [{ text = "Greet shortly" }]
"#;
    let lab = Lab::start(Plan {
        script,
        config: &rows,
        ..Plan::default()
    })
    .await;
    lab.run().await.ended("branch only");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    for (arguments, reason) in [
        (
            &["fs", "--http", "0.0.0.0:0", "--no-token", "--root", root][..],
            "without a token",
        ),
        (
            &[
                "fs",
                "--http",
                "127.0.0.1:0",
                "--token-env",
                "NO_SUCH_VARIABLE",
            ],
            "NO_SUCH_VARIABLE",
        ),
        (&["fs", "--token-env", "PATH"], "--http"),
        (&["fs", "--root", "/no/such/folder"], "/no/such/folder"),
        (&["files"], "fs"),
        (&[], "SERVERS"),
    ] {
        let run = Command::new(PULLWRIGHT)
            .arg("tool-host")
            .args(arguments)
            .output();
        let output = in_time(run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_and_what_its_commands_left() {
    let root = tempfile::tempdir().unwrap();
    let mut hosted = Hosted::start(root.path(), &["--no-token"]).await;
    let pid = hosted.child.id().unwrap().cast_signed();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(in_time(hosted.child.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_uses_all_tools_over_both_links() {
    let Some(peers) = Peers::find("our tool host under the MCP inspector") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a.txt"), "one\ntwo\n").unwrap();
    let hosted = Hosted::start(root.path(), &["--no-token"]).await;
    let url = hosted.url();
    let folder = root.path().to_str().unwrap();
    let over_stdio = [
        PULLWRIGHT,
        "tool-host",
        "fs",
        "bash",
        "git",
        "--root",
        folder,
    ];
    let over_http = [url.as_str(), "--transport", "http"];
    for link in [&over_stdio[..], &over_http] {
        let listed = inspect(&peers, link, &["--method", "tools/list"]).await;
        for tool in ["read", "edit", "bash", "diff"] {
            assert!(names(&listed).any(|name| name == tool), "{tool}: {listed}");
        }
        let call = [
            "--method",
            "tools/call",
            "--tool-name",
            "bash",
            "--tool-arg",
        ];
        let call = [&call[..], &["command=wc -l < a.txt"]].concat();
        let answer = inspect(&peers, link, &call).await;
        assert_eq!(answer["content"][0]["text"], "2", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_uses_our_tools_over_both_links() {
    let Some(peers) = Peers::find("our tool host under the MCP Python SDK") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a.txt"), "one\ntwo\n").unwrap();
    let script = root.path().join("client.py");
    std::fs::write(&script, CLIENT).unwrap();
    let hosted = Hosted::start(root.path(), &["--no-token"]).await;
    let url = hosted.url();
    let folder = root.path().to_str().unwrap();
    let over_stdio = [
        "stdio",
        PULLWRIGHT,
        "tool-host",
        "fs",
        "bash",
        "git",
        "--root",
        folder,
    ];
    for link in [&over_stdio[..], &["http", &url]] {
        let run = Command::new(peers.python())
            .arg(&script)
            .args(link)
            .output();
        let output = in_time(run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{link:?}: {said}\n{complained}");
        assert!(said.contains("bash,") && said.contains(",read,"), "{said}");
        assert!(said.ends_with("two | 2 | True\n"), "{link:?}: {said}");
    }
}

fn names(listed: &Value) -> impl Iterator<Item = &str> {
    let tools = listed["tools"].as_array().unwrap();
    tools.iter().filter_map(|tool| tool["name"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_finds_nothing_but_what_is_left_out_on_purpose() {
    let Some(peers) = Peers::find("our HTTP tool server under the conformance suite") else {
        return;
    };
    for version in ["2025-11-25", "2026-07-28"] {
        let mut server = Command::new(example("conformance_server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let url = in_time(said.next_line()).await.unwrap().unwrap();
        let told = server_suite(&peers, &url, version, Path::new(EXPECTED_FAILURES)).await;
        // A suite without scenarios would pass as well.
        for scenario in [
            "tools-list",
            "tools-call-simple-text",
            "tools-call-with-progress",
            "tools-call-mixed-content",
            "json-schema-2020-12",
            "dns-rebinding-protection",
        ] {
            assert!(
                told.contains(&format!("✓ {scenario}")),
                "{scenario}\n{told}"
            );
        }
    }
}

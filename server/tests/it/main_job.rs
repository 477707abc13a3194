//! The main job across real peers: our server as a process of its own, git over HTTP, an emulator of
//! GitHub's API, and a model that streams over HTTP.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::peers::aimock::{Aimock, KEY};
use crate::peers::emulate::TOKEN;
use crate::peers::forge::{Forge, git};
use crate::peers::inspector;
use crate::peers::process::Peers;
use crate::support::http_client;

/// The whole job takes about two seconds; a slow machine gets much more.
const JOB_LIMIT: Duration = Duration::from_secs(120);

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
    let server = Server::start(&forge, &model).await;

    let frames = server
        .code(&forge.clone_url(), "Greet the world by name")
        .await;

    let done = frames.last().unwrap();
    assert_eq!(done["type"], "Done", "{frames:#?}");
    assert_eq!(done["outcome"], "pull request", "{frames:#?}");
    assert_edits_and_checks(&frames);
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
    assert_eq!(pull["title"], "Greet the world by name");
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
    server.assert_no_secret_is_kept().await;
    model.stop().await;
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

/// Our server as a process of its own.
struct Server {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start(forge: &Forge, model: &Aimock) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let config = folder.path().join("plugins.toml");
        std::fs::write(&config, config_text(forge, model)).unwrap();
        let mut process = Command::new(PULLWRIGHT)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .env("ANTHROPIC_API_KEY", KEY)
            .env("GITHUB_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the server says where it listens");
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        // A full pipe would block the server.
        tokio::spawn(async move {
            let mut rest = lines.into_inner();
            let mut sink = Vec::new();
            let _ = rest.read_to_end(&mut sink).await;
        });
        Self {
            process,
            address,
            folder,
        }
    }

    /// `POST /code`, and all its frames.
    async fn code(&self, repository: &str, prompt: &str) -> Vec<Value> {
        let request = http_client()
            .post(format!("{}/code", self.address))
            .header("content-type", "application/json")
            .body(json!({"repoUrl": repository, "prompt": prompt}).to_string());
        let whole = async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{status} {text}");
            text
        };
        let text = tokio::time::timeout(JOB_LIMIT, whole)
            .await
            .expect("the job ends in time");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|json| serde_json::from_str(json).unwrap())
            .collect()
    }

    /// Neither the token nor the model's key is in any file the server wrote.
    async fn assert_no_secret_is_kept(mut self) {
        self.process.kill().await.unwrap();
        for secret in [TOKEN, KEY] {
            assert_absent(self.folder.path(), secret);
        }
    }
}

fn assert_absent(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            assert_absent(&path, secret);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

fn config_text(forge: &Forge, model: &Aimock) -> String {
    let host = forge.git.host();
    let (api, model) = (forge.api.url(), model.url());
    format!(
        r#"
        [agent]
        provider = "anthropic"
        [budget]
        max_usd = "none"
        [repositories]
        hosts = ["{host}"]
        [checks]
        run = ["sh test.sh"]
        [providers.anthropic]
        wire_api = "anthropic_messages"
        base_url = "{model}"
        env_key = "ANTHROPIC_API_KEY"
        model = "claude-opus-5-5"
        [tools.fs]
        builtin = "fs"
        [tools.bash]
        builtin = "bash"
        [tools.git]
        builtin = "git"
        [tools.github]
        builtin = "github"
        runs = "host"
        base_url = "{api}"
        hosts = ["{host}"]
        env_vars = ["GITHUB_TOKEN"]
        [sandbox]
        kind = "local"
        [server]
        data_dir = "data"
        "#
    )
}

//! The examples: what adds a tool or a model is a row and files of its own, and nothing else.

use std::path::Path;

use serde_json::{Value, json};

use crate::peers::process::Peers;
use crate::runs::lab::{Lab, PROGRAM, Plan};
use crate::support::in_time;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

fn rows(example: &str) -> String {
    std::fs::read_to_string(Path::new(EXAMPLES).join(example).join("plugins.toml")).unwrap()
}

async fn ends_well(script: &str, rows: &str) {
    let lab = Lab::start(Plan {
        script,
        config: rows,
        ..Plan::default()
    })
    .await;
    lab.run().await.ended("branch only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_in_python() {
    let Some(peers) = Peers::find("the example of a tool in Python") else {
        return;
    };
    let python = peers.python().display().to_string();
    let server = Path::new(EXAMPLES).join("python-tool/server.py");
    let rows = rows("python-tool")
        .replace("\"python3\"", &format!("\"{python}\""))
        .replace("examples/python-tool/server.py", server.to_str().unwrap());
    let script = r#"
[[replies]]
steps = [
  { tool_call = { name = "dates__days_between", arguments = { start = "2028-02-27", end = "2028-03-01" } } },
  { tool_call = { name = "dates__working_days", arguments = { start = "2026-11-23", end = "2026-11-29" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["3", "5"] }
steps = [{ tool_call = { name = "dates__working_days", arguments = { start = "2026-11-29", end = "2000-01-01" } } }]
[[replies]]
expect = { results_are_errors = true, results_contain = ["the end must be at most"] }
steps = [{ text = "Greet shortly" }]
"#;
    ends_well(script, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_from_npm() {
    let Some(peers) = Peers::find("the example of npm's tool servers") else {
        return;
    };
    let notes = tempfile::tempdir().unwrap();
    let notes = notes.path().canonicalize().unwrap();
    std::fs::write(notes.join("note.txt"), "greet shortly").unwrap();
    // As `npx` finds them where they are installed already.
    let (node, mut rows) = (peers.node(), rows("npm-server"));
    for (package, last) in [
        ("server-filesystem", "/srv/notes"),
        ("server-everything", "stdio"),
    ] {
        let script = peers.script(&format!("@modelcontextprotocol/{package}/dist/index.js"));
        let written = format!("\"-y\", \"@modelcontextprotocol/{package}@2026.8.31\", \"{last}\"");
        assert!(rows.contains(&written), "{written}\n{rows}");
        rows = rows.replace(&written, &format!("\"{}\", \"{last}\"", script.display()));
    }
    let rows = rows
        .replace("\"npx\"", &format!("\"{}\"", node.display()))
        .replace("/srv/notes", notes.to_str().unwrap());
    let script = r#"
[[replies]]
steps = [
  { tool_call = { name = "notes__read_text_file", arguments = { path = "{NOTES}/note.txt" } } },
  { tool_call = { name = "everything__get-sum", arguments = { a = 2, b = 3 } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_are_errors = false, results_contain = ["greet shortly", "5"] }
steps = [{ tool_call = { name = "notes__write_file", arguments = { path = "{NOTES}/note.txt", content = "" } } }]
[[replies]]
expect = { results_are_errors = true, results_contain = ["there is no tool `notes__write_file`"] }
steps = [{ text = "Greet shortly" }]
"#;
    ends_well(&script.replace("{NOTES}", notes.to_str().unwrap()), &rows).await;
}

/// A chat endpoint that does what it is asked in the plainest way.
async fn chat_endpoint() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .route("/v1/chat/completions", axum::routing::post(complete))
        .layer(axum::extract::DefaultBodyLimit::max(1 << 24));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn complete(axum::Json(request): axum::Json<Value>) -> axum::response::Response {
    let messages = request["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    let asked = last["content"].as_str().unwrap_or_default();
    let call = |name: &str, arguments: Value| {
        let arguments = arguments.to_string();
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        let piece = |function: Value| json!({"tool_calls": [{"index": 0, "id": "call_1", "function": function}]});
        vec![
            piece(json!({"name": name, "arguments": head})),
            piece(json!({"arguments": tail})),
        ]
    };
    let (pieces, stop) = if last["role"] == "tool" {
        (
            vec![json!({"content": "Greet "}), json!({"content": "shortly"})],
            "stop",
        )
    } else if asked.contains("Call the tool `note`") {
        (call("note", json!({"text": "ready"})), "tool_calls")
    } else if asked.contains("Change the greeting") {
        let edit = json!({"path": "src/greeting.txt", "old_str": "hello", "new_str": "hi"});
        (call("edit", edit), "tool_calls")
    } else {
        let words = (0..200).map(|n| json!({"content": format!("{n} ")}));
        (words.collect(), "stop")
    };
    let chunk = |delta: &Value, stop: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": stop});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    let mut text: String = pieces.iter().map(|piece| chunk(piece, None)).collect();
    text.push_str(&chunk(&json!({}), Some(stop)));
    text.push_str(&format!("data: {usage}\n\ndata: [DONE]\n\n"));
    axum::response::Response::builder()
        .header("content-type", "text/event-stream")
        .body(text.into())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_in_python() {
    if !has_python() {
        return;
    }
    let endpoint = chat_endpoint().await;
    let provider = Path::new(EXAMPLES).join("python-provider/provider.py");
    let rows = rows("python-provider")
        .replace(
            "examples/python-provider/provider.py",
            provider.to_str().unwrap(),
        )
        .replace("127.0.0.1:11434", &endpoint.to_string());
    let rows = format!("[agent]\nprovider = \"local\"\n{rows}");
    let lab = Lab::start(Plan {
        config: &rows,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert!(
        played.summary().contains("Greet shortly"),
        "{}",
        played.summary()
    );

    let config = lab.path.join("plugins.toml");
    let providers = async |arguments: &[&str]| {
        let run = tokio::process::Command::new(PROGRAM)
            .arg("providers")
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .output();
        let output = in_time(run).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (well, said) = providers(&["check", "local"]).await;
    assert!(well && said.matches("passed").count() == 9, "{said}");
    let (well, said) = providers(&["ask", "local", "Count."]).await;
    assert!(
        well && said.contains("0 1 2 3") && said.contains("[10 tokens in"),
        "{said}"
    );
    let (well, said) = providers(&["list"]).await;
    assert!(well && said.contains("local  command python3"), "{said}");
    let (well, said) = providers(&["check", "locl"]).await;
    assert!(
        !well && said.contains("there is no [providers.locl]"),
        "{said}"
    );
}

/// The scripted model keeps to the protocol as well, as far as its script goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_says_nothing_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("plugins.toml");
    std::fs::write(folder.path().join("script.toml"), "replies = []").unwrap();
    std::fs::write(
        &config,
        "[agent]\nprovider = \"script\"\n[budget]\nmax_usd = \"none\"\n\
         [providers.script]\nwire_api = \"scripted\"\nscript = \"script.toml\"\n",
    )
    .unwrap();
    let run = tokio::process::Command::new(PROGRAM)
        .args(["providers", "check", "script", "--json", "--config"])
        .arg(&config)
        .output();
    let output = in_time(run).await.unwrap();
    assert!(!output.status.success());
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["verdict"].as_str())
        .collect();
    assert_eq!(verdicts[0], "passed");
    assert!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == "failed")
            .count()
            >= 6,
        "{findings}"
    );
}

fn has_python() -> bool {
    let found = std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_ok();
    if !found {
        eprintln!("SKIPPED: the example of a model in Python: there is no python3");
    }
    found
}

/// What ships as `plugins.toml`, and what `pullwright config` says of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configuration_is_sound() {
    let shipped = Path::new(EXAMPLES).join("../plugins.toml");
    let config = async |arguments: &[&str], file: &Path| {
        let run = tokio::process::Command::new(PROGRAM)
            .arg("config")
            .args(arguments)
            .arg("--config")
            .arg(file)
            .env_remove("ANTHROPIC_API_KEY")
            .output();
        let output = in_time(run).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (well, said) = config(&["check"], &shipped).await;
    assert!(well, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["config"]["budget"]["max_turns"], 200);
    assert_eq!(said["config"]["tools"]["github"]["runs"], "host");
    assert!(
        said["missingVariables"]
            .to_string()
            .contains("ANTHROPIC_API_KEY"),
        "{said}"
    );
    let text = std::fs::read_to_string(&shipped).unwrap();
    let schema = text
        .lines()
        .next()
        .unwrap()
        .strip_prefix("#:schema ./")
        .unwrap();
    let schema = Path::new(EXAMPLES).join("..").join(schema);
    let (well, said) = config(&["schema"], &shipped).await;
    assert!(well && said == std::fs::read_to_string(schema).unwrap());

    let folder = tempfile::tempdir().unwrap();
    let as_app = folder.path().join("app.toml");
    let account = "app_id = 4711\napp_key_env = \"PULLWRIGHT_NO_SUCH_APP_KEY\"";
    let token = "env_vars = [\"GITHUB_TOKEN\"]";
    assert!(text.contains(token));
    std::fs::write(&as_app, text.replace(token, account)).unwrap();
    let (well, said) = config(&["check"], &as_app).await;
    assert!(well, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let row = &said["config"]["tools"]["github"];
    assert_eq!(
        (&row["app_id"], &row["app_workflows"]),
        (&json!("4711"), &json!(false))
    );
    let missing = said["missingVariables"].to_string();
    assert!(missing.contains("PULLWRIGHT_NO_SUCH_APP_KEY"), "{missing}");

    let broken = folder.path().join("plugins.toml");
    std::fs::write(&broken, "[agnet]\n").unwrap();
    let (well, said) = config(&["check"], &broken).await;
    assert!(
        !well && said.contains("agnet") && said.contains("`agent`"),
        "{said}"
    );
}

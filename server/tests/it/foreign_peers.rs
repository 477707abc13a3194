//! The MCP client of a run against what others have made: the protocol's own conformance suite, its
//! reference servers, and its Python SDK.

use std::path::Path;

use pullwright_protocol::Event;
use serde_json::Value;

use crate::peers::conformance::{client_suite, example};
use crate::peers::process::Peers;
use crate::peers::python::{PythonHttp, SERVER};
use crate::runs::lab::{Lab, Plan, Played};

const EXPECTED_FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../.ci/peers/conformance-client-expected-failures.yml"
);

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_finds_nothing_but_what_is_left_out_on_purpose() {
    let Some(peers) = Peers::find("our MCP client under the conformance suite") else {
        return;
    };
    let (client, expected) = (example("conformance_client"), Path::new(EXPECTED_FAILURES));
    // A suite without scenarios would pass as well.
    let (older, newer) = tokio::join!(
        client_suite(&peers, &client, "2025-11-25", expected),
        client_suite(&peers, &client, "2026-07-28", expected),
    );
    for scenario in ["initialize", "tools_call", "sse-retry"] {
        assert!(
            older.contains(&format!("✓ {scenario}")),
            "{scenario}\n{older}"
        );
    }
    for scenario in [
        "tools_call",
        "request-metadata",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
    ] {
        assert!(
            newer.contains(&format!("✓ {scenario}")),
            "{scenario}\n{newer}"
        );
    }
}

const CALL_NPM: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
  { tool_call = { name = "files__write_file", arguments = { path = "{FOLDER}/note.txt", content = "written by a run" } } },
  { tool_call = { name = "files__read_text_file", arguments = { path = "{FOLDER}/note.txt" } } },
  { tool_call = { name = "everything__get-sum", arguments = { a = 2, b = 3 } } },
  { tool_call = { name = "everything__get-tiny-image", arguments = {} } },
  { tool_call = { name = "everything__get-resource-links", arguments = { count = 2 } } },
  { tool_call = { name = "everything__get-structured-content", arguments = { location = "New York" } } },
  { tool_call = { name = "everything__trigger-long-running-operation", arguments = { duration = 0.3, steps = 3 } } },
]
[[replies]]
expect = { results_are_errors = false }
steps = [{ tool_call = { name = "files__read_text_file", arguments = { path = "/etc/passwd" } } }]
[[replies]]
expect = { results_are_errors = true }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn npm_servers_serve_a_run() {
    let Some(peers) = Peers::find("npm's MCP servers in a run") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("a path");
    let folder = folder.to_str().expect("UTF-8");
    let row = |name: &str, package: &str, argument: &str| {
        let script = format!("@modelcontextprotocol/{package}/dist/index.js");
        let command = [peers.node(), peers.script(&script)].map(|path| path.display().to_string());
        let [node, script] = command;
        format!(
            "[tools.{name}]\ncommand = \"{node}\"\nargs = [\"{script}\", \"{argument}\"]\n\
             runs = \"host\"\nrequired = true\nstartup_timeout_sec = 90\n"
        )
    };
    let rows = row("everything", "server-everything", "stdio")
        + &row("files", "server-filesystem", folder);
    let lab = Lab::start(Plan {
        script: &CALL_NPM.replace("{FOLDER}", folder),
        config: &rows,
        ..Plan::default()
    })
    .await;
    let played = lab
        .run_with("/code?deltas=1", Value::Object(Default::default()))
        .await;
    played.ended("branch only");
    assert_eq!(output(&played, "files.read_text_file"), "written by a run");
    assert!(output(&played, "everything.get-sum").contains('5'));
    let links = output(&played, "everything.get-resource-links");
    assert!(links.contains("[link to the resource "), "{links}");
    let weather = output(&played, "everything.get-structured-content");
    assert!(weather.contains("temperature"), "{weather}");
    let events = lab.events(&played.id).await;
    let pictures = events
        .iter()
        .filter(|logged| has_picture(&logged.event))
        .count();
    assert_eq!(pictures, 1);
    let deltas = played.of("Tool Output Delta");
    let deltas: String = deltas
        .iter()
        .filter_map(|delta| delta["delta"].as_str())
        .collect();
    assert!(deltas.contains("1/3\n2/3\n"), "{deltas}");
    // Nothing was offered that would need what is refused.
    let log = format!("{events:?}");
    assert!(!log.contains("trigger-sampling-request") && !log.contains("get-roots-list"));
}

const CALL_PYTHON: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
  { tool_call = { name = "stdio__add", arguments = { a = 40, b = 2 } } },
  { tool_call = { name = "http__add", arguments = { a = 40, b = 3 } } },
  { tool_call = { name = "stdio__count", arguments = { to = 3 } } },
  { tool_call = { name = "http__count", arguments = { to = 3 } } },
]
[[replies]]
expect = { results_are_errors = false }
steps = [
  { tool_call = { name = "stdio__fail", arguments = {} } },
  { tool_call = { name = "http__fail", arguments = {} } },
  { tool_call = { name = "http__add", arguments = { a = "many" } } },
]
[[replies]]
expect = { results_are_errors = true }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn servers_on_the_python_sdk_serve_a_run() {
    let Some(peers) = Peers::find("the MCP Python SDK in a run") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("server.py");
    std::fs::write(&script, SERVER).expect("write the server");
    let http = PythonHttp::start(&peers, &script).await;
    let (python, script) = (peers.python(), script.display());
    let rows = format!(
        "[tools.stdio]\ncommand = \"{}\"\nargs = [\"{script}\"]\nruns = \"host\"\nrequired = true\n\
         startup_timeout_sec = 90\n[tools.http]\nurl = \"{}\"\nrequired = true\n",
        python.display(),
        http.url
    );
    let lab = Lab::start(Plan {
        script: CALL_PYTHON,
        config: &rows,
        ..Plan::default()
    })
    .await;
    let played = lab
        .run_with("/code?deltas=1", Value::Object(Default::default()))
        .await;
    played.ended("branch only");
    assert!(output(&played, "stdio.add").contains("42"));
    assert!(output(&played, "http.add").contains("43"));
    let deltas = played.of("Tool Output Delta");
    let deltas: String = deltas
        .iter()
        .filter_map(|delta| delta["delta"].as_str())
        .collect();
    assert_eq!(deltas.matches("2/3 at 2").count(), 2, "{deltas}");
    for tool in ["stdio.fail", "http.fail"] {
        let told = output(&played, tool);
        assert!(told.contains("Error executing tool fail"), "{tool}: {told}");
    }
}

/// The output of the first call of a tool.
fn output(played: &Played, tool: &str) -> String {
    let frames = played.of(&format!("Tool: {tool}"));
    let frame = frames
        .first()
        .unwrap_or_else(|| panic!("no {tool}:\n{}", played.text));
    frame["output"].as_str().expect("a text").to_owned()
}

fn has_picture(event: &Event) -> bool {
    match event {
        Event::ToolAnswered { parts, .. } => parts
            .iter()
            .any(|part| matches!(part, pullwright_protocol::Part::Image { .. })),
        _ => false,
    }
}

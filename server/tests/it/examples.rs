//! The examples: what adds a tool is a row and files of its own, and nothing else.

use std::path::Path;

use crate::peers::process::Peers;
use crate::runs::lab::{Lab, Plan};

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

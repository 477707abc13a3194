//! Which forge a run uses, and what `pullwright tools check` says of forges.

use std::path::Path;

use serde_json::Value;

use super::lab::{GREET, Lab, PROGRAM, Plan, in_time};

/// A forge for anybody, in a few lines: it answers whatever is asked as if it were its own.
const CARELESS: &str = r#"#!/usr/bin/env python3
import json, sys
def tool(name, role, **schema):
    return {"name": name, "inputSchema": {"type": "object", **schema}, "_meta": {"pullwright/role": role}}
TOOLS = [
    tool("see", "forge.preflight", required=["origin", "token"]),
    tool("key", "forge.credential", properties={"origin": {}}, additionalProperties=False),
    tool("open", "forge.pull_request"),
    tool("open_too", "forge.pull_request"),
    tool("close", "forge.close"),
]
TOOLS[1]["outputSchema"] = {"type": "object", "properties": {"origin": {}, "password": {}}}
for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "careless", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": TOOLS}
    elif method == "tools/call":
        result = {"content": [], "structuredContent": {"origin": "any", "password": "canary"}}
    else:
        if id is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), flush=True)
"#;

const CARELESS_ROW: &str = "[tools.careless]\ncommand = \"./careless\"\nruns = \"host\"\n";

async fn lab(script: &str, config: &str) -> Lab {
    Lab::start(Plan {
        script,
        config,
        beside: &[("careless", CARELESS)],
        ..Plan::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_no_forge_names_gets_a_branch_and_is_told_first() {
    // Neither is opened: their hosts are others.
    let rows = "[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\nbase_url = \"http://127.0.0.1:9\"\n\
        hosts = [\"github.example\"]\nenv_vars = [\"PULLWRIGHT_NO_SUCH_TOKEN\"]\n\
        [tools.other]\ncommand = \"./there-is-no-such-program\"\nruns = \"host\"\n\
        hosts = [\"gitlab.example\"]\n";
    let lab = lab(GREET, rows).await;
    let played = lab.run().await;
    played.ended("branch only");
    let told = format!("no forge in [tools] names {} in its `hosts`", lab.host());
    let at = |wanted: &dyn Fn(&Value) -> bool| played.frames.iter().position(wanted);
    let says_so = |frame: &Value| {
        let message = frame["message"].as_str();
        message.is_some_and(|message| message.contains(&told))
    };
    let first = at(&says_so).expect("it is told");
    let edit = at(&|frame| frame["type"] == "Tool: Edit").expect("an edit");
    assert!(first < edit, "{:#?}", played.frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_is_bound_to_no_host_is_given_no_repository() {
    let lab = lab("replies = []", CARELESS_ROW).await;
    let played = lab.run().await;
    played.ended("failed(config)");
    let (summary, host) = (played.summary(), lab.host());
    assert!(summary.contains("[tools.careless] is a forge"), "{summary}");
    assert!(
        summary.contains(&format!("`hosts = [\"{host}\"]`")),
        "{summary}"
    );
    assert!(!played.text.contains("canary"), "{}", played.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_breaks_the_contract_is_found_out() {
    let lab = lab("replies = []", CARELESS_ROW).await;
    let (well, told) = check(&lab.path, "careless").await;
    assert!(!well, "{told}");
    for problem in [
        "the row does not say which git hosts the forge serves",
        "`see` requires the argument `token`, which `forge.preflight` is not called with",
        "`key` refuses the argument `owner`, which `forge.credential` is called with",
        "the answer of `key` has no `username`",
        "`open` and `open_too` have the role `forge.pull_request` both",
        "the role `forge.close` of `close` is unknown",
        "`see` answers for a repository of https://another-forge.invalid",
        "`key` answers for a repository of https://another-forge.invalid",
    ] {
        let line = format!("PROBLEM careless: {problem}");
        assert!(told.contains(&line), "{problem}\n{told}");
    }
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_a_server_that_is_no_forge_are_found_out() {
    let lab = lab("replies = []", "").await;
    let row = "[tools.quiet]\ncommand = \"./quiet\"\nruns = \"host\"\nhosts = [\"a.example\"]\n";
    let quiet = CARELESS.replace("\"_meta\"", "\"_other\"");
    let program = lab.path.join("quiet");
    std::fs::copy(lab.path.join("careless"), &program).expect("copy, with its mode");
    std::fs::write(&program, quiet).expect("write a program");
    let config = lab.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, format!("{text}\n{row}")).expect("write");
    let (well, told) = check(&lab.path, "quiet").await;
    let lacks = "no tool has the role `forge.pull_request`, without which it is no forge";
    assert!(!well && told.contains(lacks), "{told}");
}

async fn check(folder: &Path, name: &str) -> (bool, String) {
    let run = tokio::process::Command::new(PROGRAM)
        .args(["tools", "check", name, "--config", "plugins.toml"])
        .current_dir(folder)
        .output();
    let output = in_time(run).await.expect("start pullwright");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

//! Faults of tool servers, the sandbox and what is prepared in it.

use std::process::Command;

use pullwright_protocol::Event;
use serde_json::json;

use super::lab::{self, GREET, Lab, Plan, processes_of};

const EDIT_AND_SLEEP: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { results_are_errors = true }
steps = [{ tool_call = { name = "bash", arguments = { command = "cat src/greeting.txt" } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_tool_server_comes_back_in_the_sandbox() {
    let lab = Lab::start(Plan {
        script: EDIT_AND_SLEEP,
        ..Plan::default()
    })
    .await;
    let (run, stream) = lab.begin().await;
    let bash = |event: &Event| matches!(event, Event::ToolStarted { tool, .. } if tool == "bash");
    lab.until(&run, bash).await;
    let servers = processes_of(&run);
    let server = servers.iter().find(|(_, line)| line.contains("serve bash"));
    let (pid, _) = server.unwrap_or_else(|| panic!("no bash server in {servers:?}"));
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill").success());
    let played = lab::read(stream).await;
    played.ended("branch only");
    let [killed, after] = &played.of("Tool: Bash")[..] else {
        panic!("two commands were asked for:\n{}", played.text);
    };
    let told = killed["output"].as_str().expect("a text");
    assert!(told.contains("was lost during the call"), "{told}");
    assert_eq!(after["output"], "hi");
    assert!(
        played
            .text
            .contains("tool server `bash` was lost and is back"),
        "{}",
        played.text
    );
    assert_eq!(processes_of(&run), []);
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
}

/// Ends over its only call, and does not start a second time.
const BROKEN_FOR_GOOD: &str = r#"#!/bin/sh
[ -e "$0.started" ] && exit 1
: > "$0.started"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case "$line" in
    *'"tools/call"'*) exit 1 ;;
    *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"tools":[{"name":"go","inputSchema":{"type":"object"}}]}}' ;;
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"quick","version":"1"}}}' ;;
    *'"server/discover"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"unknown"}}' ;;
  esac
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_required_tool_server_that_stays_away_ends_the_run_and_keeps_the_patch() {
    let row = "[tools.hostile]\ncommand = \"./hostile\"\nruns = \"host\"\nrequired = true\n";
    let lab = Lab::start(Plan {
        script: CALL_HOSTILE,
        config: row,
        beside: &[("hostile", BROKEN_FOR_GOOD)],
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("failed(tool_server)");
    assert!(
        played.summary().contains("`hostile` is gone"),
        "{}",
        played.summary()
    );
    let clone = lab.applied(&played.id).await;
    let greeting = std::fs::read_to_string(clone.join("src/greeting.txt"));
    assert_eq!(greeting.expect("the file"), "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_server_that_does_not_start_is_an_error_if_required() {
    let broken = "[tools.broken]\ncommand = \"false\"\n";
    let required = format!("{broken}required = true\n");
    let lab = Lab::start(Plan {
        script: GREET,
        config: &required,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("failed(tool_server)");
    assert!(played.summary().contains("broken"), "{}", played.summary());

    let lab = Lab::start(Plan {
        script: GREET,
        config: broken,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert!(played.text.contains("going on without a tool server"));
    assert!(!played.text.contains("rmcp::"), "{}", played.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_setup_says_which_command_and_why() {
    let lab = Lab::start(Plan {
        script: GREET,
        config: "[setup]\nrun = [\"true\", \"echo no such package; exit 7\"]\n",
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("failed(setup)");
    let summary = played.summary();
    assert!(
        summary.contains("exit code 7") && summary.contains("no such package"),
        "{summary}"
    );
    assert_eq!(lab.patch(&played.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_base_branch_and_a_missing_repository_are_told() {
    let lab = Lab::start(Plan {
        script: GREET,
        ..Plan::default()
    })
    .await;
    let played = lab
        .run_with("/code", json!({ "baseBranch": "develop" }))
        .await;
    played.ended("failed(repository)");
    assert!(played.summary().contains("develop"), "{}", played.summary());

    let missing = format!("{}/owner/missing.git", lab.origin);
    let played = lab.run_with("/code", json!({ "repoUrl": missing })).await;
    played.ended("failed(repository)");
    assert!(played.summary().contains("missing"), "{}", played.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_deletes_git_s_folder_does_not_lose_the_work() {
    let lab = Lab::start(Plan {
        script: r#"
[[replies]]
steps = [
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
  { tool_call = { name = "bash", arguments = { command = "rm -rf .git" } } },
]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
}

/// Speaks MCP until the call, and then misbehaves in one way.
const HOSTILE: &str = r#"#!/usr/bin/env python3
import json, sys
way = sys.argv[1]
def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    if method == "initialize":
        say({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}}, "serverInfo": {"name": "hostile", "version": "1"}}})
    elif method == "tools/list":
        say({"jsonrpc": "2.0", "id": id, "result": {"tools": [
            {"name": "go", "inputSchema": {"type": "object"}}]}})
    elif method == "tools/call":
        while way == "garbage":
            print("no message at all")
        while way == "flood":
            print('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}')
        while way == "strange-ids":
            print('{"jsonrpc":"2.0","id":4294967295,"result":{}}')
        if way == "deep":
            print('{"jsonrpc":"2.0","id":%d,"result":%s1%s}' % (id, "[" * 100000, "]" * 100000))
        if way == "long":
            sys.stdout.write('{"jsonrpc":"2.0","id":%d,"result":"%s"}' % (id, "x" * 20000000))
        sys.stdout.flush()
    elif id is not None:
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}})
"#;

const CALL_HOSTILE: &str = r#"
[[replies]]
steps = [
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
steps = [{ tool_call = { name = "hostile__go", arguments = {} } }]
[[replies]]
expect = { results_are_errors = true }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_tool_server_is_started_anew_and_harms_nothing_else() {
    for way in ["garbage", "flood", "strange-ids", "deep", "long"] {
        let row = format!(
            "[tools.hostile]\ncommand = \"./hostile\"\nargs = [\"{way}\"]\nruns = \"host\"\n\
             required = true\ntool_timeout_sec = 120\n"
        );
        let lab = Lab::start(Plan {
            script: CALL_HOSTILE,
            config: &row,
            beside: &[("hostile", HOSTILE)],
            ..Plan::default()
        })
        .await;
        let played = lab.run().await;
        played.ended("branch only");
        let told = &played.of("Tool: hostile.go")[0]["output"];
        let told = told.as_str().expect("a text");
        assert!(told.contains("was lost during the call"), "{way}: {told}");
        assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n", "{way}");
    }
}

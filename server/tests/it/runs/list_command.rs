//! `pullwright runs list`.

use std::process::Output;

use pullwright::compose::open_store;
use pullwright_core::store::NewRun;
use serde_json::Value;

use super::command_line::Desk;
use super::lab::GREET;
use crate::support::{id, request};

/// More than are read at once.
const RUNS: usize = 205;

fn list(desk: &Desk, arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["runs", "list", "--config", "plugins.toml"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    desk.pullwright(&all).output().expect("start pullwright")
}

fn lines(output: &Output) -> Vec<String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let shown = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    shown.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn all_runs_are_listed_or_as_many_as_asked_for() {
    let desk = Desk::new(GREET, "");
    let store = open_store(&desk.path.join("data"), None)
        .await
        .expect("open");
    let expected: Vec<String> = (0..RUNS).rev().map(|n| format!("run-{n:03}")).collect();
    assert_eq!(lines(&list(&desk, &[])), ["there are no runs"]);
    for (n, name) in expected.iter().rev().enumerate() {
        let new = NewRun {
            id: id(name),
            request: request("do it"),
            owner: None,
            idempotency_key: None,
            at_ms: 1000 + n as u64 / 7,
            sealed_token: None,
        };
        store.create(new).await.expect("create");
    }
    let ids = |arguments: &[&str]| {
        let lines = lines(&list(&desk, arguments));
        let id = |line: &String| -> String {
            let run: Value = serde_json::from_str(line).expect("JSON");
            run["id"].as_str().expect("an id").to_owned()
        };
        lines.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--json", "--all"]), expected);
    assert_eq!(ids(&["--json"]), expected[..20]);
    assert_eq!(ids(&["--json", "--limit", "150"]), expected[..150]);
    assert_eq!(lines(&list(&desk, &["--all"])).len(), RUNS);
    let both = list(&desk, &["--all", "--limit", "1"]);
    assert!(!both.status.success());
}

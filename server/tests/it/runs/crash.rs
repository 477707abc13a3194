//! A run of the command line that is killed: a server may not read local folders for anybody, so it ends
//! the run and gives back what it left.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::time::Duration;

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Outcome, RunId};
use serde_json::Value;

use super::command_line::Desk;
use super::lab::processes_of;
use crate::support::http_client;

/// A lease of 15 s has to run out, and is looked at every 15 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

const SCRIPT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "setsid sleep 600 & sleep 600", timeout_sec = 600 } } }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_ends_the_runs_of_a_killed_one() {
    let desk = Desk::new(SCRIPT, "");
    let remote = desk.remote.to_str().expect("UTF-8").to_owned();
    let mut code = start(
        &desk,
        &[
            "code",
            &remote,
            "Greet",
            "--config",
            "plugins.toml",
            "--json",
        ],
    );
    wait_for_line(code.stdout.take().expect("stdout"), "Tool: Edit");
    code.kill().expect("kill");
    code.wait().expect("wait");
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite"))
        .await
        .expect("open");
    let run = store.list(1).await.expect("list").remove(0);
    assert_eq!(run.outcome, None);

    let mut server = start(
        &desk,
        &[
            "serve",
            "--config",
            "plugins.toml",
            "--listen",
            "127.0.0.1:0",
        ],
    );
    let address = listening(server.stderr.take().expect("stderr"));
    let outcome = ended(&address, &run.id).await;
    server.kill().expect("kill");
    server.wait().expect("wait");

    assert_eq!(
        outcome,
        Outcome::Failed(pullwright_protocol::FailureKind::Repository).to_string()
    );
    assert_eq!(processes_of(&run.id), []);
    assert_eq!(entries(&desk.path.join("data/runs")), [""; 0]);
    assert_eq!(entries(&desk.path.join("data/local")), [""; 0]);
}

fn start(desk: &Desk, arguments: &[&str]) -> Child {
    let mut command = desk.pullwright(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start pullwright")
}

fn wait_for_line(output: ChildStdout, part: &str) {
    let mut lines = BufReader::new(output).lines();
    let found = lines.any(|line| line.expect("a line").contains(part));
    assert!(found, "no line holds {part}");
}

fn listening(output: ChildStderr) -> String {
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("a line"));
    let address = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    address.expect("the server says where it listens")
}

async fn ended(address: &str, run: &RunId) -> String {
    let client = http_client();
    let url = format!("{address}/v1/runs/{run}");
    let waiting = async {
        let mut tick = tokio::time::interval(POLL);
        loop {
            tick.tick().await;
            let answer = client.get(&url).send().await.expect("an answer");
            let text = answer.text().await.expect("a body");
            let record: Value = serde_json::from_str(&text).expect("JSON");
            if let Some(outcome) = record["outcome"].as_str() {
                return outcome.to_owned();
            }
        }
    };
    tokio::time::timeout(RECOVERY_LIMIT, waiting)
        .await
        .expect("the run ends")
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.flatten().map(name).collect()
}

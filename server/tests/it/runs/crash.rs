//! A server that is killed: the next one goes on with its runs, and nothing of them is left in the end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Outcome, RunId};
use serde_json::{Value, json};

use super::command_line::Desk;
use super::lab::{processes_of, write_config};
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::support::{http_client, in_time};

/// A lease of 15 s has to run out, and is looked at every 5 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

const SCRIPT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "setsid sleep 600 & sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { results_contain = ["interrupted"], user_contains = ["The server was restarted"] }
steps = ["hang"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_takes_over_a_run_of_a_killed_one_and_leaves_nothing_of_it() {
    let desk = Desk::new(SCRIPT, "");
    let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
    let sections = "[server]\ndata_dir = \"data\"\n";
    write_config(&desk.path, sections, &backend.host());
    let mut one = serve(&desk);
    let repository = format!("{}/owner/project.git", backend.origin());
    let run = begin(&one.address, &repository).await;
    until_told(&one.address, &run, "Tool: Edit").await;
    one.process.kill().expect("kill");
    one.process.wait().expect("wait");
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let left = store.expect("open").get(&run).await.expect("get");
    let left = left.expect("a record");
    assert_eq!(left.outcome, None);

    let mut two = serve(&desk);
    until_told(&two.address, &run, "the sandbox is open again").await;
    cancel(&two.address, &run).await;
    let ended = until(&two.address, &run, |seen| seen["outcome"].is_string()).await;
    let given_back = in_time(async {
        let mut tick = tokio::time::interval(POLL);
        while !entries(&desk.path.join("data/runs")).is_empty() {
            tick.tick().await;
        }
    });
    given_back.await;
    two.process.kill().expect("kill");
    two.process.wait().expect("wait");

    assert_eq!(ended["outcome"], Outcome::Cancelled.to_string());
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let patch = store.expect("open").patch(&run).await.expect("read");
    let patch = String::from_utf8(patch.expect("a patch")).expect("UTF-8");
    assert!(patch.contains("-hello\n+hi\n"), "{patch}");
    assert_eq!(processes_of(&run), []);
    assert_eq!(entries(&desk.path.join("data/local")), [""; 0]);
}

/// Somebody cancels it while no server is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_before_it_is_gone_on_with_keeps_its_patch() {
    let desk = Desk::new(SCRIPT, "");
    let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
    let sections = "[server]\ndata_dir = \"data\"\nlease_sec = 1\n";
    write_config(&desk.path, sections, &backend.host());
    let mut one = serve(&desk);
    let repository = format!("{}/owner/project.git", backend.origin());
    let run = begin(&one.address, &repository).await;
    until_told(&one.address, &run, "Tool: Edit").await;
    one.process.kill().expect("kill");
    one.process.wait().expect("wait");
    let cancel = ["runs", "cancel", &run.0, "--config", "plugins.toml"];
    let cancelled = desk.pullwright(&cancel).output().expect("start pullwright");
    assert!(cancelled.status.success(), "{cancelled:?}");

    let mut two = serve(&desk);
    let ended = until(&two.address, &run, |seen| seen["outcome"].is_string()).await;
    two.process.kill().expect("kill");
    two.process.wait().expect("wait");
    assert_eq!(ended["outcome"], Outcome::Cancelled.to_string());
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let patch = store.expect("open").patch(&run).await.expect("read");
    let patch = String::from_utf8(patch.expect("a patch")).expect("UTF-8");
    assert!(patch.contains("-hello\n+hi\n"), "{patch}");
    assert_eq!(processes_of(&run), []);
    assert_eq!(entries(&desk.path.join("data/runs")), [""; 0]);
}

struct Served {
    process: Child,
    address: String,
}

fn serve(desk: &Desk) -> Served {
    let arguments = ["--config", "plugins.toml", "--listen", "127.0.0.1:0"];
    let mut command = desk.pullwright(&[&["serve"], &arguments[..]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("start pullwright");
    let address = listening(process.stderr.take().expect("stderr"));
    Served { process, address }
}

async fn begin(address: &str, repository: &str) -> RunId {
    let body = json!({ "repoUrl": repository, "prompt": "Greet" });
    let post = http_client()
        .post(format!("{address}/v1/runs"))
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let answer = post.send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    RunId(answer["id"].as_str().expect(&text).to_owned())
}

async fn until_told(address: &str, run: &RunId, told: &str) {
    let url = format!("{address}/v1/runs/{run}/stream");
    let mut stream = http_client().get(url).send().await.expect("a stream");
    let mut seen = String::new();
    while !seen.contains(told) {
        let chunk = in_time(stream.chunk()).await.expect("a chunk");
        let chunk = chunk.unwrap_or_else(|| panic!("it ended: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

fn listening(output: ChildStderr) -> String {
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("a line"));
    let address = lines
        .by_ref()
        .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    // What it says later must have somewhere to go.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("the server says where it listens")
}

async fn cancel(address: &str, run: &RunId) {
    let url = format!("{address}/v1/runs/{run}/cancel");
    let answer = http_client().post(url).send().await.expect("an answer");
    // It may have ended by then.
    assert!([202, 409].contains(&answer.status().as_u16()));
}

/// Waits until the run's record is as wanted.
async fn until(address: &str, run: &RunId, wanted: impl Fn(&Value) -> bool) -> Value {
    let client = http_client();
    let url = format!("{address}/v1/runs/{run}");
    let waiting = async {
        let mut tick = tokio::time::interval(POLL);
        loop {
            tick.tick().await;
            let answer = client.get(&url).send().await.expect("an answer");
            let text = answer.text().await.expect("a body");
            let record: Value = serde_json::from_str(&text).expect("JSON");
            if wanted(&record) {
                return record;
            }
        }
    };
    tokio::time::timeout(RECOVERY_LIMIT, waiting)
        .await
        .expect("the run goes on")
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.flatten().map(name).collect()
}

//! A server that is killed: the next one goes on with its runs, and nothing of them is left in the end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, FailureKind, Outcome, RunId, RunUsage};
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
    let run = begin(&one.address, &repository, json!({})).await;
    until_told(&one.address, &run, "Tool: Edit").await;
    one.kill();
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let left = store.expect("open").get(&run).await.expect("get");
    let left = left.expect("a record");
    assert_eq!(left.outcome, None);

    // A server that dies while it removes something leaves this.
    let removal = desk.path.join("data/runs/removal-some-run-1/0/deep");
    std::fs::create_dir_all(&removal).expect("make folders");
    std::fs::write(removal.join("file"), "left").expect("write a file");
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
    two.kill();

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
    let run = begin(&one.address, &repository, json!({})).await;
    until_told(&one.address, &run, "Tool: Edit").await;
    one.kill();
    let cancel = ["runs", "cancel", &run.0, "--config", "plugins.toml"];
    let cancelled = desk.pullwright(&cancel).output().expect("start pullwright");
    assert!(cancelled.status.success(), "{cancelled:?}");

    let mut two = serve(&desk);
    let ended = until(&two.address, &run, |seen| seen["outcome"].is_string()).await;
    two.kill();
    assert_eq!(ended["outcome"], Outcome::Cancelled.to_string());
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let patch = store.expect("open").patch(&run).await.expect("read");
    let patch = String::from_utf8(patch.expect("a patch")).expect("UTF-8");
    assert!(patch.contains("-hello\n+hi\n"), "{patch}");
    assert_eq!(processes_of(&run), []);
    assert_eq!(entries(&desk.path.join("data/runs")), [""; 0]);
}

/// Each of its owners dies while the model writes: the third one still knows what the first one spent.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_holds_across_any_number_of_owners() {
    let script = r#"
[prices]
input = 1000.0
cached_input = 0.0
cache_write = 0.0
output = 0.0
"#;
    let script =
        format!("replies = [{{ steps = [{{ text = \"I begin. \" }}, \"hang\"] }}]\n{script}");
    let desk = Desk::new(&script, "");
    let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
    let sections = "[server]\ndata_dir = \"data\"\nlease_sec = 1\n";
    write_config(&desk.path, sections, &backend.host());
    let mut server = serve(&desk);
    let repository = format!("{}/owner/project.git", backend.origin());
    let run = begin(&server.address, &repository, json!({ "maxTurns": 2 })).await;
    for owners in 1..=2 {
        until_begun_to_write(&server.address, &run, owners).await;
        server.kill();
        server = serve(&desk);
    }
    let ended = until(&server.address, &run, |seen| seen["outcome"].is_string()).await;
    assert_eq!(ended["outcome"], Outcome::BudgetReached.to_string());
    let metrics = http_client().get(format!("{}/metrics", server.address));
    let metrics = metrics.send().await.expect("an answer").text().await;
    let metrics = metrics.expect("text");
    server.kill();

    let events = events_of(&desk, &run).await;
    let lost: Vec<_> = events.iter().filter_map(lost).collect();
    let [(first, usd), (second, _)] = &lost[..] else {
        panic!("two replies were lost: {lost:?}");
    };
    assert!(*first > 0 && *second > 0 && usd.is_some(), "{lost:?}");
    let Some(Event::Done { usage, .. }) = events.last() else {
        panic!("{events:#?}");
    };
    let mut spent = RunUsage::default();
    events.iter().for_each(|event| spent.note(event));
    assert_eq!(*usage, spent);
    assert_eq!(usage.input_tokens, first + second);
    let counted = format!(
        "pullwright_model_tokens_total{{provider=\"script\",model=\"scripted\",kind=\"input\"}} {second}\n"
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

/// Server after server dies of it: what its model has made is saved, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_given_up_keeps_its_patch() {
    let desk = Desk::new(SCRIPT, "");
    let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
    let sections = "[server]\ndata_dir = \"data\"\nlease_sec = 1\n";
    write_config(&desk.path, sections, &backend.host());
    let mut one = serve(&desk);
    let repository = format!("{}/owner/project.git", backend.origin());
    let run = begin(&one.address, &repository, json!({})).await;
    until_told(&one.address, &run, "Tool: Edit").await;
    one.kill();
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let store = store.expect("open");
    for _ in 0..3 {
        in_time(async {
            let mut tick = tokio::time::interval(POLL);
            while store.claim(&run, "next", Duration::ZERO).await.is_err() {
                tick.tick().await;
            }
        })
        .await;
    }
    drop(store);

    let mut two = serve(&desk);
    let ended = until(&two.address, &run, |seen| seen["outcome"].is_string()).await;
    two.kill();
    let interrupted = Outcome::Failed(FailureKind::Interrupted);
    assert_eq!(ended["outcome"], interrupted.to_string());
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let patch = store.expect("open").patch(&run).await.expect("read");
    let patch = String::from_utf8(patch.expect("a patch")).expect("UTF-8");
    assert!(patch.contains("-hello\n+hi\n"), "{patch}");
    assert_eq!(processes_of(&run), []);
    assert_eq!(entries(&desk.path.join("data/runs")), [""; 0]);
}

/// A server process.
pub(super) struct Served {
    pub(super) process: Child,
    pub(super) address: String,
}

pub(super) fn serve(desk: &Desk) -> Served {
    let arguments = ["--config", "plugins.toml", "--listen", "127.0.0.1:0"];
    let mut command = desk.pullwright(&[&["serve"], &arguments[..]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("start pullwright");
    let address = listening(process.stderr.take().expect("stderr"));
    Served { process, address }
}

impl Served {
    pub(super) fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }
}

/// Starts a run with a budget.
pub(super) async fn begin(address: &str, repository: &str, budget: Value) -> RunId {
    let body = json!({ "repoUrl": repository, "prompt": "Greet", "budget": budget });
    let post = http_client()
        .post(format!("{address}/v1/runs"))
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let answer = post.send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    RunId(answer["id"].as_str().expect(&text).to_owned())
}

/// Waits until its stream has told this.
pub(super) async fn until_told(address: &str, run: &RunId, told: &str) {
    until_read(format!("{address}/v1/runs/{run}/stream"), told).await;
}

/// Waits until its log has this.
pub(super) async fn until_logged(address: &str, run: &RunId, part: &str) {
    until_read(format!("{address}/v1/runs/{run}/events"), part).await;
}

async fn until_read(url: String, told: &str) {
    let mut stream = http_client().get(url).send().await.expect("a stream");
    let mut seen = String::new();
    while !seen.contains(told) {
        let chunk = in_time(stream.chunk()).await.expect("a chunk");
        let chunk = chunk.unwrap_or_else(|| panic!("it ended: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

/// Waits until so many owners have seen the model begin to write.
async fn until_begun_to_write(address: &str, run: &RunId, owners: usize) {
    let url = format!("{address}/v1/runs/{run}/events");
    let mut stream = http_client().get(url).send().await.expect("a stream");
    let mut seen = String::new();
    while seen.matches("\"message_delta\"").count() < owners {
        let chunk = tokio::time::timeout(RECOVERY_LIMIT, stream.chunk()).await;
        let chunk = chunk.expect("in time").expect("a chunk");
        let chunk = chunk.unwrap_or_else(|| panic!("it ended: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

async fn events_of(desk: &Desk, run: &RunId) -> Vec<Event> {
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let events = store.expect("open").read(run, 0, 10_000).await;
    let events = events.expect("the events").into_iter();
    events.map(|logged| logged.event).collect()
}

/// What a reply cost that was lost.
fn lost(event: &Event) -> Option<(u64, Option<f64>)> {
    match event {
        Event::ReplyLost { usage, usd } => Some((usage.input_tokens, *usd)),
        _ => None,
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
pub(super) async fn until(address: &str, run: &RunId, wanted: impl Fn(&Value) -> bool) -> Value {
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

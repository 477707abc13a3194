//! A real server that is told to stop.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pullwright::store::SqliteStore;
use pullwright_core::store::{RunRecord, RunStore};
use pullwright_protocol::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};

use crate::runs::lab::{PROGRAM, write_config};
use crate::support::{http_client, id, in_time};

/// A second of grace, and what interrupted runs get.
const LONGEST_STOP: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_stops_at_once() {
    let git = SilentGit::start().await;
    for signal in ["TERM", "INT"] {
        let server = Served::start(&git.host, "").await;
        server.signal(signal);
        let (status, said) = server.stopped().await;
        assert!(status.success(), "{signal}: {status}");
        assert!(said.contains("no run is under way"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_keeps_its_runs() {
    let git = SilentGit::start().await;
    let limits = "max_concurrent_runs = 1\nshutdown_grace_sec = 1\n";
    let server = Served::start(&git.host, limits).await;
    let working = server.post(&git.repository()).await;
    in_time(git.asked()).await;
    let waiting = server.post(&git.repository()).await;
    let mut stream = server.stream(&waiting).await;
    let mut seen = String::new();
    in_time(read_until(&mut stream, &mut seen, "1st in the queue")).await;
    server.signal("TERM");
    // The stream of the run that waits ends, although the server still waits for the other one.
    while let Some(chunk) = in_time(stream.chunk()).await.expect("a chunk") {
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!seen.contains("Done"), "{seen}");
    let refused = server.answer(&git.repository()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(server.get("/readyz").await.status(), 503);
    assert_eq!(server.get("/healthz").await.status(), 200);
    let folder = Arc::clone(&server.folder);
    let (status, said) = server.stopped().await;
    assert!(status.success(), "{status}: {said}");
    assert!(
        said.contains("for 2 runs to end or to be handed over"),
        "{said}"
    );
    assert!(said.contains("handed over "), "{said}");
    let store = SqliteStore::open(folder.path().join("data/runs.sqlite")).await;
    let store = store.expect("open");
    for run in [&working, &waiting] {
        assert_eq!(
            record(&store, run).await.outcome,
            None,
            "{run} is not ended"
        );
    }
    let claim = store.claim(&waiting, "next", Duration::from_secs(60));
    claim.await.expect("its lease is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_server_at_once() {
    let git = SilentGit::start().await;
    let mut server = Served::start(&git.host, "shutdown_grace_sec = 3600\n").await;
    let run = server.post(&git.repository()).await;
    in_time(git.asked()).await;
    server.signal("TERM");
    in_time(server.until_said("a second signal ends at once")).await;
    server.signal("TERM");
    let folder = Arc::clone(&server.folder);
    let (status, said) = server.stopped().await;
    assert_eq!(status.code(), Some(1), "{said}");
    let store = SqliteStore::open(folder.path().join("data/runs.sqlite")).await;
    let record = record(&store.expect("open"), &run).await;
    assert_eq!(record.outcome, None);
}

async fn record(store: &SqliteStore, run: &RunId) -> RunRecord {
    let record = store.get(run).await.expect("get");
    record.expect("a record")
}

/// A server as a process of its own.
struct Served {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: String,
    address: String,
    folder: Arc<TempDir>,
}

impl Served {
    async fn start(host: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("script.toml"), "replies = []").expect("write");
        let sections =
            format!("[sandbox]\nkind = \"none\"\n[server]\ndata_dir = \"data\"\n{limits}");
        write_config(folder.path(), &sections, host);
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--config", "plugins.toml"])
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start pullwright");
        let stderr = process.stderr.take().expect("stderr");
        let mut served = Self {
            process,
            lines: BufReader::new(stderr).lines(),
            said: String::new(),
            address: String::new(),
            folder: Arc::new(folder),
        };
        let line = in_time(served.until_said("listening on ")).await;
        served.address = line.trim_start_matches("listening on ").to_owned();
        served
    }

    async fn until_said(&mut self, part: &str) -> String {
        while let Some(line) = self.lines.next_line().await.expect("a line") {
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(part) {
                return line;
            }
        }
        panic!("the server ended: {}", self.said);
    }

    fn signal(&self, name: &str) {
        let process = self.process.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &process])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end; answers how it ended and what it said.
    async fn stopped(mut self) -> (ExitStatus, String) {
        let whole = async {
            while let Some(line) = self.lines.next_line().await.expect("a line") {
                self.said.push_str(&line);
                self.said.push('\n');
            }
            self.process.wait().await.expect("wait")
        };
        let status = tokio::time::timeout(LONGEST_STOP, whole).await;
        (status.expect("it stops"), self.said)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.address);
        in_time(http_client().get(url).send())
            .await
            .expect("an answer")
    }

    async fn answer(&self, repository: &str) -> reqwest::Response {
        let body = json!({ "repoUrl": repository, "prompt": "Greet" });
        let post = http_client()
            .post(format!("{}/v1/runs", self.address))
            .header("Content-Type", "application/json")
            .body(body.to_string());
        in_time(post.send()).await.expect("an answer")
    }

    async fn post(&self, repository: &str) -> RunId {
        let text = self.answer(repository).await.text().await.expect("a body");
        let run: Value = serde_json::from_str(&text).expect("JSON");
        id(run["id"].as_str().expect(&text))
    }

    async fn stream(&self, run: &RunId) -> reqwest::Response {
        self.get(&format!("/v1/runs/{run}/stream")).await
    }
}

async fn read_until(stream: &mut reqwest::Response, seen: &mut String, part: &str) {
    while !seen.contains(part) {
        let chunk = stream.chunk().await.expect("a chunk");
        let chunk = chunk.unwrap_or_else(|| panic!("the stream ended: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

/// A git server that takes connections and says nothing.
struct SilentGit {
    listener: TcpListener,
    host: String,
}

impl SilentGit {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let host = listener.local_addr().expect("an address").to_string();
        Self { listener, host }
    }

    fn repository(&self) -> String {
        format!("http://{}/owner/repo", self.host)
    }

    /// Waits until somebody has asked; the answer never comes.
    async fn asked(&self) {
        let (connection, _) = self.listener.accept().await.expect("a connection");
        std::mem::forget(connection);
    }
}

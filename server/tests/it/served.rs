//! The program's server as a process of its own, and a git server that keeps its runs from ending.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::runs::lab::{PROGRAM, write_config};
use crate::support::{http_client, id, in_time};

/// A second of grace, and what interrupted runs get.
const LONGEST_STOP: Duration = Duration::from_secs(40);

/// A server with a data folder of its own. Dropping it kills it.
pub(crate) struct Served {
    pub(crate) folder: Arc<TempDir>,
    process: Child,
    said: watch::Receiver<String>,
    address: String,
}

impl Served {
    /// Fetches from `host` alone; `limits` are keys of `[server]`.
    pub(crate) async fn start(host: &str, limits: &str) -> Self {
        Self::start_with(host, limits, |command| command.env_remove("DATABASE_URL")).await
    }

    /// With its runs in a database.
    pub(crate) async fn start_on(database: &str, host: &str) -> Self {
        Self::start_with(host, "", |command| command.env("DATABASE_URL", database)).await
    }

    async fn start_with(
        host: &str,
        limits: &str,
        set: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("script.toml"), "replies = []").expect("write");
        let sections =
            format!("[sandbox]\nkind = \"none\"\n[server]\ndata_dir = \"data\"\n{limits}");
        write_config(folder.path(), &sections, host);
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--config", "plugins.toml"])
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = set(&mut command).spawn().expect("start pullwright");
        let (address, said) = listening(&mut process).await;
        Self {
            folder: Arc::new(folder),
            process,
            said,
            address,
        }
    }

    pub(crate) async fn until_said(&mut self, part: &str) {
        said(&mut self.said, part).await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &process])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("kill");
    }

    /// Waits for its end; answers how it ended and what it said.
    pub(crate) async fn stopped(mut self) -> (ExitStatus, String) {
        let whole = async {
            while self.said.changed().await.is_ok() {}
            self.process.wait().await.expect("wait")
        };
        let status = tokio::time::timeout(LONGEST_STOP, whole).await;
        let said = self.said.borrow().clone();
        (status.expect("it stops"), said)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.address);
        in_time(http_client().get(url).send())
            .await
            .expect("an answer")
    }

    /// The status of a list of runs.
    pub(crate) async fn list(&self, secret: Option<&str>) -> u16 {
        let request = http_client().get(format!("{}/v1/runs", self.address));
        let request = match secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        };
        let answer = in_time(request.send()).await.expect("an answer");
        answer.status().as_u16()
    }

    /// What it answers to a request for a run on `repository`, which `key` makes one.
    pub(crate) async fn answer(&self, repository: &str, key: &str) -> reqwest::Response {
        let body = json!({ "repoUrl": repository, "prompt": "Greet" });
        let post = http_client()
            .post(format!("{}/v1/runs", self.address))
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/json")
            .body(body.to_string());
        in_time(post.send()).await.expect("an answer")
    }

    pub(crate) async fn post(&self, repository: &str, key: &str) -> RunId {
        let answer = self.answer(repository, key).await;
        let text = answer.text().await.expect("a body");
        let run: Value = serde_json::from_str(&text).expect("JSON");
        id(run["id"].as_str().expect(&text))
    }

    pub(crate) async fn cancel(&self, run: &RunId) {
        let url = format!("{}/v1/runs/{run}/cancel", self.address);
        let answer = in_time(http_client().post(url).send()).await;
        assert!(answer.expect("an answer").status().is_success());
    }

    pub(crate) async fn stream(&self, run: &RunId) -> reqwest::Response {
        self.get(&format!("/v1/runs/{run}/stream")).await
    }
}

/// Where a server listens that was just started, and what it says from then on: the channel closes with its
/// output, which nobody else need read.
pub(crate) async fn listening(process: &mut Child) -> (String, watch::Receiver<String>) {
    let (sender, mut heard) = watch::channel(String::new());
    let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|said| {
                said.push_str(&line);
                said.push('\n');
            });
        }
    });
    let line = in_time(said(&mut heard, "listening on ")).await;
    let address = line.trim_start_matches("listening on ").to_owned();
    (address, heard)
}

/// Waits for a line with `part`, and answers it.
async fn said(heard: &mut watch::Receiver<String>, part: &str) -> String {
    let line = |said: &String| {
        let mut lines = said.lines();
        lines.find(|line| line.contains(part)).map(str::to_owned)
    };
    let found = heard.wait_for(|said| line(said).is_some()).await;
    let found = found.ok().and_then(|said| line(&said));
    found.unwrap_or_else(|| panic!("the server ended: {}", *heard.borrow()))
}

/// Reads a stream until `seen` has `part`.
pub(crate) async fn read_until(stream: &mut reqwest::Response, seen: &mut String, part: &str) {
    while !seen.contains(part) {
        let chunk = stream.chunk().await.expect("a chunk");
        let chunk = chunk.unwrap_or_else(|| panic!("the stream ended: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

/// A git server that takes connections and says nothing.
pub(crate) struct SilentGit {
    pub(crate) host: String,
    listener: TcpListener,
}

impl SilentGit {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let host = listener.local_addr().expect("an address").to_string();
        Self { host, listener }
    }

    pub(crate) fn repository(&self) -> String {
        format!("http://{}/owner/repo", self.host)
    }

    /// Waits until somebody has asked; the answer never comes.
    pub(crate) async fn asked(&self) {
        let (connection, _) = self.listener.accept().await.expect("a connection");
        std::mem::forget(connection);
    }
}

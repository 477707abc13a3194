//! Two real servers, as processes of their own, on one database.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::server::Server;
use crate::runs::lab::{PROGRAM, write_config};
use crate::support::{http_client, in_time};

/// A lease of 15 s has to run out, and is looked at every 5 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_server_goes_on_with_a_run_of_a_killed_one_and_shows_it() {
    let Some(postgres) = Server::shared("two servers on one database") else {
        return;
    };
    let url = postgres.database().await;
    let git = SilentGit::start().await;
    let (mut one, two) = (
        Replica::start(&url, &git.host).await,
        Replica::start(&url, &git.host).await,
    );
    let run = one.post(&git.repository()).await;
    assert_eq!(two.post(&git.repository()).await, run, "the key joins it");
    in_time(git.asked()).await;
    let mut stream = two.stream(&run).await;
    let mut seen = String::new();
    in_time(read_until(&mut stream, &mut seen, "the run is accepted")).await;
    one.process.kill().await.expect("kill");
    let taken_over = tokio::time::timeout(RECOVERY_LIMIT, git.asked()).await;
    taken_over.expect("the other server goes on");
    two.cancel(&run).await;
    in_time(read_until(&mut stream, &mut seen, r#""type":"Done""#)).await;
    assert!(seen.contains(r#""outcome":"cancelled""#), "{seen}");
    let ids = seen.lines().filter_map(|line| line.strip_prefix("id: "));
    let ids: Vec<u64> = ids.map(|id| id.parse().expect("a number")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_database_counts_on_every_server() {
    let Some(postgres) = Server::shared("keys of two servers") else {
        return;
    };
    let url = postgres.database().await;
    let (one, two) = (
        Replica::start(&url, "github.com").await,
        Replica::start(&url, "github.com").await,
    );
    let secret = one.keys(&url, &["create", "ci"]).await;
    for server in [&one, &two] {
        assert_eq!(server.list(None).await, 401);
        assert_eq!(server.list(Some(&secret)).await, 200);
    }
    two.keys(&url, &["revoke", "ci"]).await;
    assert_eq!(one.list(Some(&secret)).await, 401);
    let did = "SELECT count(*) FROM audit WHERE action IN ('key.created', 'key.revoked')";
    assert_eq!(super::sql::numbers(&url, did).await, [2]);
}

/// A server on the database, with a data folder of its own.
struct Replica {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Replica {
    async fn start(database: &str, host: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("script.toml"), "replies = []").expect("write");
        let sections = "[sandbox]\nkind = \"none\"\n[server]\ndata_dir = \"data\"\n";
        write_config(folder.path(), sections, host);
        let mut process = Command::new(PROGRAM)
            .args([
                "serve",
                "--config",
                "plugins.toml",
                "--listen",
                "127.0.0.1:0",
            ])
            .current_dir(folder.path())
            .env("DATABASE_URL", database)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start pullwright");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let listening = async {
            let mut said = Vec::new();
            while let Some(line) = lines.next_line().await.expect("a line") {
                if let Some(address) = line.strip_prefix("listening on ") {
                    return address.to_owned();
                }
                said.push(line);
            }
            panic!("the server ended: {said:?}");
        };
        let address = in_time(listening).await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            process,
            address,
            folder,
        }
    }

    async fn post(&self, repository: &str) -> String {
        let body = json!({ "repoUrl": repository, "prompt": "Greet" });
        let post = http_client()
            .post(format!("{}/v1/runs", self.address))
            .header("Idempotency-Key", "once")
            .header("Content-Type", "application/json")
            .body(body.to_string());
        let answer = in_time(post.send()).await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let run: Value = serde_json::from_str(&text).expect("JSON");
        run["id"].as_str().expect(&text).to_owned()
    }

    async fn cancel(&self, run: &str) {
        let url = format!("{}/v1/runs/{run}/cancel", self.address);
        let answer = in_time(http_client().post(url).send()).await;
        assert!(answer.expect("an answer").status().is_success());
    }

    /// What `pullwright keys` prints, on the database.
    async fn keys(&self, database: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.arg("keys").args(arguments);
        command.args(["--database", "--config", "plugins.toml"]);
        command.current_dir(self.folder.path());
        let output = command.env("DATABASE_URL", database).output();
        let output = in_time(output).await.expect("start pullwright");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }

    /// The status of a list of runs.
    async fn list(&self, secret: Option<&str>) -> u16 {
        let request = http_client().get(format!("{}/v1/runs", self.address));
        let request = match secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        };
        let answer = in_time(request.send()).await.expect("an answer");
        answer.status().as_u16()
    }

    async fn stream(&self, run: &str) -> reqwest::Response {
        let url = format!("{}/v1/runs/{run}/stream", self.address);
        in_time(http_client().get(url).send())
            .await
            .expect("a stream")
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

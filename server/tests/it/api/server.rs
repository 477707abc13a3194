//! A server on a port of its own, whose runs do what their prompt says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright::access::{Access, AccessStore};
use pullwright::api::{self, ApiConfig, ApiProblem, ApiState};
use pullwright::runs::{Execute, Runs, RunsConfig};
use pullwright::store::{KeptStore, SqliteStore, StoreOptions};
use pullwright::webhooks::{DeliveryStore, WebhookSettings, Webhooks};
use pullwright_core::config::AccessConfig;
use pullwright_core::log::stamp;
use pullwright_core::run::{Executed, OwnedRun};
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, FailureKind, Outcome, RunId, RunRequest, Stage, ToolView};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{done, http_client, in_time, status};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) runs: Runs,
    pub(crate) store: Arc<dyn KeptStore>,
    pub(crate) client: Client,
    pub(crate) keys: Arc<dyn AccessStore>,
    pub(crate) access: Access,
    pub(crate) deliveries: Arc<dyn DeliveryStore>,
    _folder: TempDir,
}

pub(crate) struct Setup {
    pub(crate) runs: RunsConfig,
    pub(crate) max_pages: Option<u32>,
    pub(crate) heartbeat: Duration,
    /// How long a request's body may take to arrive.
    pub(crate) body_timeout: Duration,
    /// Whether other machines could reach the server, so that keys are needed.
    pub(crate) is_public: bool,
    pub(crate) access: AccessConfig,
    /// What deliveries of GitHub may start, if they are taken.
    pub(crate) webhooks: Option<WebhookSettings>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            runs: RunsConfig {
                max_concurrent: 64,
                max_queued: 0,
                cancel_grace: Duration::from_secs(15),
                ..RunsConfig::default()
            },
            max_pages: None,
            heartbeat: Duration::from_secs(15),
            body_timeout: Duration::from_secs(15),
            is_public: false,
            access: AccessConfig::default(),
            webhooks: None,
        }
    }
}

impl Setup {
    pub(crate) fn with_places(max_concurrent: usize) -> Self {
        let mut setup = Self::default();
        setup.runs.max_concurrent = max_concurrent;
        setup
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let folder = TempDir::new().expect("a folder");
        let options = StoreOptions {
            max_pages: setup.max_pages,
        };
        let path = folder.path().join("runs.sqlite");
        let store = SqliteStore::open_with(path, options).await.expect("open");
        let both = Arc::new(store);
        let keys: Arc<dyn AccessStore> = Arc::clone(&both) as _;
        let deliveries: Arc<dyn DeliveryStore> = Arc::clone(&both) as _;
        let webhooks = setup
            .webhooks
            .map(|settings| Webhooks::of_github(settings, Arc::clone(&deliveries)));
        let store: Arc<dyn KeptStore> = both;
        let access = Access::with_keys(Arc::clone(&keys), setup.is_public, &setup.access);
        let player = Arc::new(Player {
            store: Arc::clone(&store) as _,
        });
        let runs = Runs::new(
            Arc::clone(&store) as _,
            player,
            Arc::new(validate),
            setup.runs,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let config = ApiConfig {
            heartbeat: setup.heartbeat,
            body_timeout: setup.body_timeout,
            allowed_hosts: vec!["pullwright.example".to_owned()],
            allowed_origins: setup.access.allowed_origins.clone(),
            access: access.clone(),
            webhooks: webhooks.unwrap_or_default(),
            ..ApiConfig::default()
        };
        let router = api::router(ApiState::with_config(runs.clone(), address, config));
        tokio::spawn(api::serve(listener, router, std::future::pending()));
        Self {
            address,
            runs,
            store,
            client: http_client(),
            keys,
            access,
            deliveries,
            _folder: folder,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.post(self.url(path));
        request
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn code(&self, prompt: &str) -> RequestBuilder {
        self.post("/code", &body(prompt))
    }

    /// Sends bytes as they are and returns everything the server answers until it closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer))
            .await
            .expect("read");
        answer
    }

    pub(crate) async fn until_ended(&self, run: &RunId) -> Outcome {
        let mut hint = self.store.watch(run);
        in_time(async {
            loop {
                let record = self.store.get(run).await.expect("get").expect("a record");
                if let Some(outcome) = record.outcome {
                    return outcome;
                }
                hint.changed().await.expect("a hint");
            }
        })
        .await
    }
}

pub(crate) fn body(prompt: &str) -> Value {
    json!({ "repoUrl": "https://github.com/owner/repo", "prompt": prompt })
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    in_time(request.send()).await.expect("an answer")
}

pub(crate) async fn text(request: RequestBuilder) -> String {
    in_time(send(request).await.text()).await.expect("a body")
}

pub(crate) fn run_id(response: &Response) -> RunId {
    let header = response.headers().get("x-run-id").expect("X-Run-Id");
    RunId(header.to_str().expect("text").to_owned())
}

/// The `id:` lines of a stream.
pub(crate) fn ids(stream: &str) -> Vec<u64> {
    let ids = stream.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().expect("a number")).collect()
}

/// The `data:` lines of a stream.
pub(crate) fn data(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).expect("JSON"))
        .collect()
}

fn validate(request: &RunRequest) -> Result<(), ApiProblem> {
    if request.repo_url.starts_with("https://github.com/") {
        return Ok(());
    }
    Err(ApiProblem::bad_request("this host is not listed"))
}

struct Player {
    store: Arc<dyn RunStore>,
}

#[async_trait]
impl Execute for Player {
    async fn execute(&self, claimed: OwnedRun) -> Executed {
        let prompt = claimed.request.prompt.clone();
        let (play, count) = prompt.split_once(' ').unwrap_or((&prompt, "0"));
        match play {
            "hello" => self.hello(&claimed).await,
            "many" => self.many(&claimed, count.parse().expect("a count")).await,
            "wait" => return self.wait(&claimed).await,
            "hang" => std::future::pending().await,
            "silent" => {}
            "panic" => panic!("as asked"),
            "fill" => self.fill(&claimed).await,
            other => panic!("unknown play {other}"),
        }
        Executed::Ended
    }
}

impl Player {
    async fn hello(&self, run: &OwnedRun) {
        let events = [
            Event::Status {
                stage: Stage::Work,
                message: "line one\nline two".to_owned(),
            },
            Event::MessageDelta {
                delta: "Hel".to_owned(),
            },
            Event::ToolAnswered {
                call_id: "1".to_owned(),
                server: "fs".to_owned(),
                tool: "read".to_owned(),
                arguments: json!({ "path": "src/é.rs" }),
                parts: Vec::new(),
                is_error: false,
                structured: None,
                view: ToolView::Read {
                    path: "path".to_owned(),
                },
                duration_ms: 1,
            },
            Event::Error {
                kind: FailureKind::Overloaded,
                message: "no capacity".to_owned(),
                retrying: true,
                attempt: 1,
            },
        ];
        let first = run.last_seq + 1;
        let events: Vec<_> = (first..)
            .zip(events)
            .map(|(n, event)| stamp(n, event))
            .collect();
        let last = run.last_seq + events.len() as u64;
        self.store
            .append(&run.id, run.epoch, events)
            .await
            .expect("append");
        self.store
            .put_patch(&run.id, run.epoch, b"--- a\n+++ b\n")
            .await
            .expect("patch");
        self.end(run, last + 1, Outcome::PatchOnly).await;
    }

    /// Events of 1 KiB, in small batches.
    async fn many(&self, run: &OwnedRun, count: u64) {
        let padding = "x".repeat(1024);
        let mut seq = run.last_seq;
        while seq < run.last_seq + count {
            let batch = (seq + 1..=seq + 50).map(|n| status(n, format!("{n} {padding}")));
            self.store
                .append(&run.id, run.epoch, batch.collect())
                .await
                .expect("append");
            seq += 50;
        }
        self.end(run, seq + 1, Outcome::NoChanges).await;
    }

    async fn wait(&self, run: &OwnedRun) -> Executed {
        tokio::select! {
            () = run.cancel.cancelled() => {}
            () = run.hand_over.soon.cancelled() => return Executed::HandedOver,
        }
        self.end(run, run.last_seq + 1, Outcome::Cancelled).await;
        Executed::Ended
    }

    /// Fills the store until it takes no more.
    async fn fill(&self, run: &OwnedRun) {
        let mut seq = run.last_seq;
        for bytes in [1 << 16, 1 << 12, 1 << 8, 1] {
            loop {
                let event = status(seq + 1, "x".repeat(bytes));
                if self
                    .store
                    .append(&run.id, run.epoch, vec![event])
                    .await
                    .is_err()
                {
                    break;
                }
                seq += 1;
            }
        }
    }

    async fn end(&self, run: &OwnedRun, seq: u64, outcome: Outcome) {
        let finish = self
            .store
            .finish(&run.id, run.epoch, outcome, done(seq, outcome));
        finish.await.expect("finish");
    }
}

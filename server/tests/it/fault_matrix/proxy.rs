//! The proxy in front of the API's emulator and git's own server: it lets requests of one stage fail.
//!
//! It also makes up for what the emulator does otherwise than GitHub: a pull request needs branches that are there
//! and differ, and a branch has one that is open at most.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::fault::{self, Body, Fault, Moment};
use super::http::{Answer, Request};
use super::openapi::Exchange;
use super::stage::Stage;
use crate::peers::emulate::TOKEN;
use crate::peers::forge::git;
use crate::peers::rest;

/// What is to fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) stage: Stage,
    pub(super) fault: &'static Fault,
    pub(super) moment: Moment,
    pub(super) times: fault::Times,
}

/// Where everything really is.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    /// The emulator's address.
    pub(super) api: String,
    /// The address of git's server.
    pub(super) git: String,
    /// The repository's path, such as `dev/demo`.
    pub(super) repository: String,
    pub(super) bare: PathBuf,
}

/// A running proxy; it ends with its value.
pub(super) struct Proxy {
    /// `127.0.0.1:PORT`.
    pub(super) host: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    plan: Option<Plan>,
    behind: Behind,
    seen: Mutex<Seen>,
}

/// What has happened so far.
#[derive(Default)]
struct Seen {
    is_fetched: bool,
    /// How many requests have failed as planned.
    failed: usize,
    /// How many pull requests were asked for although one was there.
    repeated: usize,
    exchanges: Vec<Exchange>,
}

impl Proxy {
    pub(super) async fn start(behind: Behind, plan: Option<Plan>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            plan,
            behind,
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        Self { host, shared, task }
    }

    /// How many requests have failed as planned.
    pub(super) fn failed(&self) -> usize {
        self.shared.seen.lock().unwrap().failed
    }

    /// How many pull requests were asked for although one was there.
    pub(super) fn repeated(&self) -> usize {
        self.shared.seen.lock().unwrap().repeated
    }

    /// What was asked of the API, and answered by what is behind.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.seen.lock().unwrap().exchanges.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let Some(request) = Request::read(&mut stream).await else {
            return;
        };
        let Some(plan) = self.due(&request) else {
            return self.answer(&request).await.write(&mut stream).await;
        };
        if plan.moment == Moment::After {
            self.answer(&request).await;
        }
        if matches!(plan.fault.answer, fault::Answer::Silence) {
            // Until the client goes away.
            let _ = Request::read(&mut stream).await;
        }
        let _ = stream.write_all(&plan.fault.answer.bytes()).await;
        let _ = stream.shutdown().await;
    }

    /// The plan, if this is a request that it lets fail.
    fn due(&self, request: &Request) -> Option<Plan> {
        let plan = self.plan?;
        let mut seen = self.seen.lock().unwrap();
        let is_due = seen.failed < plan.times.count();
        if !is_due || Stage::of(request, seen.is_fetched) != Some(plan.stage) {
            return None;
        }
        seen.failed += 1;
        Some(plan)
    }

    async fn answer(&self, request: &Request) -> Answer {
        let Some(route) = request.api_route() else {
            let answer = request.send(&self.behind.git).await;
            self.seen.lock().unwrap().is_fetched |= request.fetches() && answer.status == 200;
            return answer;
        };
        let creates = request.method == "POST" && route.ends_with("/pulls");
        let answer = match creates {
            true => self.create_pull_request(request).await,
            false => request.send(&self.behind.api).await,
        };
        let exchange = Exchange::of(request, &answer);
        self.seen.lock().unwrap().exchanges.push(exchange);
        answer
    }

    /// As GitHub does.
    async fn create_pull_request(&self, request: &Request) -> Answer {
        let asked = request.json();
        let invalid = |field, code, message: &str| {
            let mut body = Body::Invalid("PullRequest", field, code, "").json();
            if !message.is_empty() {
                body["errors"][0]["message"] = json!(message);
            }
            Answer::refusal(422, &body)
        };
        let (head, base) = (text(&asked["head"]), text(&asked["base"]));
        let (Some(tip), Some(onto)) = (self.tip(head).await, self.tip(base).await) else {
            let field = if self.tip(head).await.is_none() {
                "head"
            } else {
                "base"
            };
            return invalid(field, "invalid", "");
        };
        if self.has_open(head).await {
            self.seen.lock().unwrap().repeated += 1;
            let (owner, _) = self.behind.repository.split_once('/').unwrap();
            let message = format!("A pull request already exists for {owner}:{head}.");
            return invalid("", "custom", &message);
        }
        if tip == onto {
            let message = format!("No commits between {base} and {head}");
            return invalid("", "custom", &message);
        }
        request.send(&self.behind.api).await
    }

    async fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let found = git(
            &self.behind.bare,
            &["for-each-ref", "--format=%(objectname)", &name],
        )
        .await;
        (!found.is_empty()).then_some(found)
    }

    async fn has_open(&self, branch: &str) -> bool {
        let Behind {
            api, repository, ..
        } = &self.behind;
        let url = format!("http://{api}/repos/{repository}/pulls?state=open");
        let (_, open) = rest::request("GET", &url, TOKEN, None).await;
        let open = open.as_array().unwrap();
        open.iter().any(|pull| pull["head"]["ref"] == branch)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

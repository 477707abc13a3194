//! The proxy in front of the API's emulator and git's own server: it lets requests of one stage fail.
//!
//! What the emulator does otherwise than GitHub is made up for in `github.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::fault::{self, Fault, Moment};
use super::github::Github;
use super::http::{Answer, Request};
use super::openapi::Exchange;
use super::stage::{Progress, Stage};

/// A run that has not come to a request by then never will.
const HELD_LIMIT: Duration = Duration::from_secs(240);

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
    /// Where a fork of it is, or would be.
    pub(super) fork: PathBuf,
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
    git: String,
    github: Github,
    seen: Mutex<Seen>,
    /// Told of each request that the server is to die at.
    held: Notify,
}

/// What has happened so far.
#[derive(Default)]
struct Seen {
    progress: Progress,
    /// How many requests have failed as planned.
    failed: usize,
    exchanges: Vec<Exchange>,
}

impl Behind {
    /// The repository that a branch is pushed to, as GitHub's API names the branch.
    pub(super) fn holder_of(&self, head: &str) -> &Path {
        match head.contains(':') {
            true => &self.fork,
            false => &self.bare,
        }
    }
}

impl Proxy {
    /// A proxy for runs at a stage.
    pub(super) async fn start(behind: Behind, stage: Stage, plan: Option<Plan>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            plan,
            git: behind.git.clone(),
            github: Github::new(behind, stage.is_renewed()),
            seen: Mutex::default(),
            held: Notify::new(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        Self { host, shared, task }
    }

    /// Waits until the run has come to where its server is to die.
    pub(super) async fn held(&self) {
        let held = tokio::time::timeout(HELD_LIMIT, self.shared.held.notified());
        held.await.expect("the run comes to its push");
    }

    /// What comes before the stage is done.
    pub(super) fn arm(&self) {
        self.shared.seen.lock().unwrap().progress.is_armed = true;
    }

    /// How many requests have failed as planned.
    pub(super) fn failed(&self) -> usize {
        self.shared.seen.lock().unwrap().failed
    }

    /// What GitHub has done beside what the emulator knows.
    pub(super) fn github(&self) -> &Github {
        &self.shared.github
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
        if self.is_held(&request) {
            self.held.notify_one();
            until_gone(&mut stream).await;
            return;
        }
        let Some(plan) = self.due(&request) else {
            return self.answer(&request).await.write(&mut stream).await;
        };
        if plan.moment == Moment::After {
            self.answer(&request).await;
        }
        if matches!(plan.fault.answer, fault::Answer::Silence) {
            until_gone(&mut stream).await;
        }
        let _ = stream.write_all(&plan.fault.answer.bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn is_held(&self, request: &Request) -> bool {
        let progress = self.seen.lock().unwrap().progress;
        self.plan
            .is_some_and(|plan| plan.stage.ends_with(request, progress))
    }

    /// The plan, if this is a request that it lets fail.
    fn due(&self, request: &Request) -> Option<Plan> {
        let plan = self.plan?;
        let mut seen = self.seen.lock().unwrap();
        let is_due = seen.failed < plan.times.count();
        if !is_due || !plan.stage.takes(request, seen.progress) {
            return None;
        }
        seen.failed += 1;
        Some(plan)
    }

    async fn answer(&self, request: &Request) -> Answer {
        if request.api_route().is_some() {
            let answer = self.github.answer(request).await;
            let mut seen = self.seen.lock().unwrap();
            seen.progress.is_forked |= request.forks() && answer.status == 202;
            seen.exchanges.push(Exchange::of(request, &answer));
            return answer;
        }
        let answer = request.send(&self.git).await;
        let progress = &mut self.seen.lock().unwrap().progress;
        progress.is_fetched |= request.fetches() && answer.status == 200;
        progress.is_pushed |= request.pushes() && answer.status == 200;
        answer
    }
}

async fn until_gone(stream: &mut TcpStream) {
    let _ = Request::read(stream).await;
}

//! Those who start the runs and follow them.

mod follow;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join_all, select_all};
use pullwright_core::log::now_ms;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::latency::Latencies;
use crate::scene::Scene;
use follow::{Followed, follow};

/// All clients of a row.
pub(crate) struct Crowd {
    client: Client,
    address: String,
    following: Vec<JoinHandle<Followed>>,
    runs: usize,
    awaited: Arc<Awaited>,
}

/// What all clients have heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// Latencies of events before the gate was opened, up to the last reply, and after it.
    pub(crate) starting: Latencies,
    pub(crate) working: Latencies,
    pub(crate) ending: Latencies,
    /// What the server said to clients that it was too busy for; they came back.
    pub(crate) refused: Vec<String>,
    /// The time between the gate and the last of the runs' work, in seconds.
    seconds: f64,
    /// Events of the work, each counted once.
    events: u64,
}

/// What must have happened before the gate is opened: every run stands before it, and every client
/// listens.
struct Awaited {
    left: AtomicUsize,
    over: Notify,
}

impl Crowd {
    /// Starts all runs at once, and clients that follow them in turn.
    pub(crate) async fn start(address: &str, repository: &str, scene: &Scene) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new();
        let starting = (0..scene.runs).map(|_| start(&client, address, repository));
        let runs = join_all(starting).await;
        let awaited = Arc::new(Awaited {
            left: AtomicUsize::new(scene.runs + scene.clients),
            over: Notify::new(),
        });
        let following = (0..scene.clients).map(|number| {
            let url = format!("{address}/v1/runs/{}/events", runs[number % scene.runs]);
            let awaited = Arc::clone(&awaited);
            let reports = number < scene.runs;
            tokio::spawn(follow(client.clone(), url, awaited, reports))
        });
        Self {
            following: following.collect(),
            runs: scene.runs,
            address: address.to_owned(),
            client,
            awaited,
        }
    }

    /// Waits until every run is at the gate and every client listens.
    pub(crate) async fn all_wait(&mut self) {
        let first_to_end = select_all(&mut self.following);
        tokio::select! {
            () = self.awaited.over.notified() => {}
            (ended, ..) = first_to_end => panic!("a client left at the gate: {:?}", ended.err()),
        }
    }

    /// How many runs are under way, as the server says.
    pub(crate) async fn active(&self) -> usize {
        let sent = self.client.get(format!("{}/metrics", self.address)).send();
        let text = sent.await.unwrap().text().await.unwrap();
        let mut lines = text.lines();
        let active = lines.find_map(|line| line.strip_prefix("pullwright_runs_active "));
        active.unwrap().parse().unwrap()
    }

    /// Listens to the end of all runs, from the opening of the gate, which is now.
    pub(crate) async fn heard(self) -> Heard {
        let opened_ms = now_ms();
        let mut heard = Heard::default();
        let mut ended_ms = opened_ms;
        let mut lengths = vec![None; self.runs];
        for (number, following) in self.following.into_iter().enumerate() {
            let followed = following.await.unwrap();
            let length = lengths[number % self.runs].get_or_insert(followed.events);
            assert_eq!(
                *length, followed.events,
                "clients of a run saw different ends"
            );
            let work_ended_ms = followed.sort_into(&mut heard, opened_ms, number < self.runs);
            ended_ms = ended_ms.max(work_ended_ms);
        }
        heard.seconds = (ended_ms - opened_ms) as f64 / 1000.0;
        heard
    }
}

impl Heard {
    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub(crate) fn frames_per_second(&self) -> f64 {
        self.working.count() as f64 / self.seconds
    }
}

impl Awaited {
    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }
}

async fn start(client: &Client, address: &str, repository: &str) -> String {
    let request = json!({"repoUrl": repository, "prompt": "Write down what you do."});
    let sent = client
        .post(format!("{address}/v1/runs"))
        .header("content-type", "application/json")
        .body(request.to_string())
        .send();
    let text = sent.await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let id = answer["id"].as_str();
    id.unwrap_or_else(|| panic!("no run: {text}")).to_owned()
}

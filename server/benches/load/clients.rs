//! Those who start the runs and follow them.

mod follow;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join_all, select_all};
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
    stations: Arc<Stations>,
}

/// What all clients have heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// Latencies of events before the work, of the work, and after it.
    pub(crate) starting: Latencies,
    pub(crate) working: Latencies,
    pub(crate) ending: Latencies,
    /// What the server said to clients that it was too busy for; they came back.
    pub(crate) refused: Vec<String>,
    /// The time of the work, in seconds.
    seconds: f64,
    /// Events of the work, each counted once.
    events: u64,
}

/// What must have happened before a gate is opened.
struct Stations {
    /// Every run stands before the gate, and every client listens.
    begin: Awaited,
    /// Every run has done its work.
    end: Awaited,
}

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
        let stations = Arc::new(Stations {
            begin: Awaited::new(scene.runs + scene.clients),
            end: Awaited::new(scene.runs),
        });
        let following = (0..scene.clients).map(|number| {
            let url = format!("{address}/v1/runs/{}/events", runs[number % scene.runs]);
            let stations = Arc::clone(&stations);
            let reports = number < scene.runs;
            tokio::spawn(follow(client.clone(), url, stations, reports))
        });
        Self {
            following: following.collect(),
            runs: scene.runs,
            address: address.to_owned(),
            client,
            stations,
        }
    }

    /// Waits until every run could begin to work, and every client listens.
    pub(crate) async fn all_wait_for_work(&mut self) {
        let stations = Arc::clone(&self.stations);
        self.all_are_at(&stations.begin).await;
    }

    /// Waits until every run has done its work.
    pub(crate) async fn all_wait_for_end(&mut self) {
        let stations = Arc::clone(&self.stations);
        self.all_are_at(&stations.end).await;
    }

    async fn all_are_at(&mut self, station: &Awaited) {
        let first_to_end = select_all(&mut self.following);
        tokio::select! {
            () = station.over.notified() => {}
            (ended, ..) = first_to_end => panic!("a client left at a gate: {:?}", ended.err()),
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

    /// Listens to the end of all runs. The work took place between these times.
    pub(crate) async fn heard(self, work: RangeInclusive<u64>) -> Heard {
        let mut heard = Heard {
            seconds: (work.end() - work.start()) as f64 / 1000.0,
            ..Heard::default()
        };
        let mut lengths = vec![None; self.runs];
        for (number, following) in self.following.into_iter().enumerate() {
            let followed = following.await.unwrap();
            let length = lengths[number % self.runs].get_or_insert(followed.events);
            assert_eq!(
                *length, followed.events,
                "clients of a run saw different ends"
            );
            followed.sort_into(&mut heard, &work, number < self.runs);
        }
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
    fn new(left: usize) -> Self {
        Self {
            left: AtomicUsize::new(left),
            over: Notify::new(),
        }
    }

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

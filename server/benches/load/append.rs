//! The runs' own events, stored once more: by the store, and by a bare batched insert.
//!
//! The store is written to on two paths. What a run says goes through its log, which gathers events while the
//! store is at work, as a bare insert is given them in batches: half of that insert's speed is promised of this
//! path. Before a model is asked, or something is pushed, a run waits until what it said is stored. Of runs that
//! do so for each event, a commit holds one event of each at most, and each is waited for: a fraction of the
//! speed, but a floor under it shows a commit that has become slower for a single event.

mod bare;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pullwright::store::SqliteStore;
use pullwright_core::log::EventLog;
use pullwright_core::store::{Epoch, NewRun, RunRecord, RunStore};
use pullwright_protocol::LoggedEvent;

/// All ways take turns, so that they meet the same load of the machine; the best of each counts.
const ROUNDS: usize = 3;

/// The most runs that are read, and the events read at a time.
const MAX_RUNS: usize = 10_000;
const PAGE: usize = 1000;

const LEASE: Duration = Duration::from_secs(600);

/// Events stored a second.
#[derive(Default)]
pub(crate) struct Appended {
    /// Through the logs of runs, which gather what comes while the store is at work. Events are emitted so.
    pub(crate) by_logs: f64,
    /// By runs of which each waits for each of its events: the way of what must be stored before a run goes on.
    pub(crate) one_by_one: f64,
    pub(crate) bare: f64,
}

/// A run and all its events.
struct Story {
    record: RunRecord,
    events: Vec<LoggedEvent>,
}

impl Appended {
    /// The speed through the logs, as a part of that of a bare insert.
    pub(crate) fn ratio(&self) -> f64 {
        self.by_logs / self.bare
    }

    /// The same of runs that wait for each event.
    pub(crate) fn waiting_ratio(&self) -> f64 {
        self.one_by_one / self.bare
    }

    fn or_better(self, other: &Self) -> Self {
        Self {
            by_logs: self.by_logs.max(other.by_logs),
            one_by_one: self.one_by_one.max(other.one_by_one),
            bare: self.bare.max(other.bare),
        }
    }
}

/// Stores what the server's store in `folder` has.
pub(crate) async fn measure(folder: &Path) -> Appended {
    let stories = Arc::new(read(&folder.join("data/runs.sqlite")).await);
    let rows = bare::rows(&stories);
    let rate = |took: Duration| rows.len() as f64 / took.as_secs_f64();
    let mut best = Appended::default();
    for round in 0..ROUNDS {
        let path = |name: &str| folder.join(format!("{name}-{round}.sqlite"));
        let round = Appended {
            by_logs: rate(append(&path("logs"), &stories, Way::ByLog).await),
            one_by_one: rate(append(&path("waiting"), &stories, Way::OneByOne).await),
            bare: rate(bare::insert(&path("bare"), &rows).await),
        };
        best = best.or_better(&round);
    }
    best
}

async fn read(path: &Path) -> Vec<Story> {
    let store = SqliteStore::open(path).await.unwrap();
    let mut stories = Vec::new();
    for record in store.list(MAX_RUNS).await.unwrap() {
        let mut events: Vec<LoggedEvent> = Vec::new();
        while (events.len() as u64) < record.last_seq {
            let after = events.len() as u64;
            events.extend(store.read(&record.id, after, PAGE).await.unwrap());
        }
        stories.push(Story { record, events });
    }
    stories
}

#[derive(Clone, Copy)]
enum Way {
    ByLog,
    OneByOne,
}

/// All runs at once.
async fn append(path: &Path, stories: &Arc<Vec<Story>>, way: Way) -> Duration {
    let store: Arc<dyn RunStore> = Arc::new(SqliteStore::open(path).await.unwrap());
    let mut epochs = Vec::new();
    for story in stories.iter() {
        store.create(new(&story.record)).await.unwrap();
        let claimed = store.claim(&story.record.id, "bench", LEASE).await;
        epochs.push(claimed.unwrap());
    }
    let begin = Instant::now();
    let writing = epochs.into_iter().enumerate().map(|(number, epoch)| {
        let (store, stories) = (Arc::clone(&store), Arc::clone(stories));
        tokio::spawn(async move {
            match way {
                Way::ByLog => by_log(store, epoch, &stories[number]).await,
                Way::OneByOne => one_by_one(&*store, epoch, &stories[number]).await,
            }
        })
    });
    try_join_all(writing).await.unwrap();
    begin.elapsed()
}

async fn by_log(store: Arc<dyn RunStore>, epoch: Epoch, story: &Story) {
    let log = EventLog::start(store, story.record.id.clone(), epoch, 0);
    for logged in &story.events {
        log.emit(logged.event.clone()).await;
    }
    log.committed().await.unwrap();
}

async fn one_by_one(store: &dyn RunStore, epoch: Epoch, story: &Story) {
    for event in &story.events {
        let one = vec![event.clone()];
        store.append(&story.record.id, epoch, one).await.unwrap();
    }
}

fn new(record: &RunRecord) -> NewRun {
    NewRun {
        id: record.id.clone(),
        request: record.request.clone(),
        owner: None,
        idempotency_key: None,
        at_ms: record.created_at_ms,
        sealed_token: None,
    }
}

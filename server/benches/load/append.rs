//! The runs' own events, stored once more: by the store, and by a bare batched insert.

mod bare;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pullwright::store::SqliteStore;
use pullwright_core::store::{NewRun, RunRecord, RunStore};
use pullwright_protocol::LoggedEvent;

/// Both ways take turns, so that they meet the same load of the machine; the best of each counts.
const ROUNDS: usize = 3;

/// The most runs that are read, and the events read at a time.
const MAX_RUNS: usize = 10_000;
const PAGE: usize = 1000;

const LEASE: Duration = Duration::from_secs(600);

/// Events stored a second.
pub(crate) struct Appended {
    pub(crate) per_second: f64,
    pub(crate) bare_per_second: f64,
}

/// A run and all its events.
struct Story {
    record: RunRecord,
    events: Vec<LoggedEvent>,
}

impl Appended {
    pub(crate) fn ratio(&self) -> f64 {
        self.per_second / self.bare_per_second
    }
}

/// Stores what the server's store in `folder` has.
pub(crate) async fn measure(folder: &Path) -> Appended {
    let stories = Arc::new(read(&folder.join("data/runs.sqlite")).await);
    let rows = bare::rows(&stories);
    let mut best = Appended {
        per_second: 0.0,
        bare_per_second: 0.0,
    };
    for round in 0..ROUNDS {
        let ours = append(&folder.join(format!("ours-{round}.sqlite")), &stories).await;
        let bare = bare::insert(&folder.join(format!("bare-{round}.sqlite")), &rows).await;
        let rate = |took: Duration| rows.len() as f64 / took.as_secs_f64();
        best.per_second = best.per_second.max(rate(ours));
        best.bare_per_second = best.bare_per_second.max(rate(bare));
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

/// All runs at once, each of which waits for each of its events: nothing is gathered before the store.
async fn append(path: &Path, stories: &Arc<Vec<Story>>) -> Duration {
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
            let Story { record, events } = &stories[number];
            for event in events {
                let one = vec![event.clone()];
                store.append(&record.id, epoch, one).await.unwrap();
            }
        })
    });
    try_join_all(writing).await.unwrap();
    begin.elapsed()
}

fn new(record: &RunRecord) -> NewRun {
    NewRun {
        id: record.id.clone(),
        request: record.request.clone(),
        owner: None,
        idempotency_key: None,
        at_ms: record.created_at_ms,
    }
}

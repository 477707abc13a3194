//! The event log: how long one event takes alone, and how many are stored under pressure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pullwright::store::{PostgresStore, SqliteStore};
use pullwright_core::log::stamp;
use pullwright_core::store::{Epoch, NewRun, RunStore};
use pullwright_protocol::{Event, LoggedEvent, RunId, RunRequest};

use crate::Effort;
use crate::sample::{Sample, print_value};

/// How many runs write at the same time under pressure.
const RUNS: usize = 64;

/// What an ordinary event carries, in bytes.
const EVENT_BYTES: usize = 400;

const LEASE: Duration = Duration::from_secs(600);

pub(crate) fn measure(effort: Effort) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("runs.sqlite")).await;
        measure_store(Arc::new(store.unwrap()), "", effort).await;
        // An empty database that may be filled.
        if let Ok(url) = std::env::var("PULLWRIGHT_BENCH_DATABASE") {
            let store = PostgresStore::open(&url.parse().unwrap()).await;
            measure_store(Arc::new(store.unwrap()), " (Postgres)", effort).await;
        }
    });
}

async fn measure_store(store: Arc<dyn RunStore>, name: &str, effort: Effort) {
    alone(&store, effort.events)
        .await
        .print(&format!("one event, stored durably{name}"));
    let begin = Instant::now();
    let writing = (0..RUNS).map(|run| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { write(&store, &format!("run-{run}"), effort.events).await })
    });
    for writer in writing.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let per_second = (RUNS * effort.events) as f64 / begin.elapsed().as_secs_f64();
    print_value(
        &format!("events/s, 64 runs that wait for each event{name}"),
        format!("{per_second:.0}"),
    );
}

async fn alone(store: &Arc<dyn RunStore>, events: usize) -> Sample {
    write(store, "alone", events).await
}

async fn write(store: &Arc<dyn RunStore>, run: &str, events: usize) -> Sample {
    let run = RunId(run.to_owned());
    let epoch = create(store, &run).await;
    let mut sample = Sample::default();
    for seq in 1..=events as u64 {
        let begin = Instant::now();
        store.append(&run, epoch, vec![event(seq)]).await.unwrap();
        sample.since(begin);
    }
    sample
}

async fn create(store: &Arc<dyn RunStore>, run: &RunId) -> Epoch {
    let new = NewRun {
        id: run.clone(),
        request: RunRequest::new("https://github.com/owner/repo", "measure"),
        owner: None,
        idempotency_key: None,
        at_ms: 0,
        sealed_token: None,
    };
    store.create(new).await.unwrap();
    store.claim(run, "bench", LEASE).await.unwrap()
}

fn event(seq: u64) -> LoggedEvent {
    let delta = "x".repeat(EVENT_BYTES);
    stamp(seq, Event::MessageDelta { delta })
}

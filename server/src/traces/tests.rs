use std::sync::mpsc;
use std::time::Instant;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SpanExporter};
use pullwright_core::store::{NewRun, RunStore, StoreError};
use pullwright_protocol::{Event, Outcome, RunUsage, Stage};

use super::*;
use crate::metrics::{Metrics, ObservedStore};
use crate::store::SqliteStore;

/// Takes one batch and never comes back until `release` is dropped.
#[derive(Debug)]
struct Stuck(Mutex<mpsc::Receiver<()>>);

impl SpanExporter for Stuck {
    async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.0.lock().unwrap().recv();
        Ok(())
    }
}

fn traces(sampler: Sampler) -> (Traces, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel();
    let traces = Traces(Some(Arc::new(Shared {
        processor: BatchSpanProcessor::builder(Stuck(Mutex::new(held))).build(),
        sampler: Box::new(sampler),
        captures_content: false,
        told_of_bound: AtomicBool::new(false),
        active: Mutex::default(),
    })));
    (traces, release)
}

fn run(number: u64) -> RunId {
    RunId(format!("run-{number}"))
}

fn logged(seq: u64, event: Event) -> LoggedEvent {
    LoggedEvent {
        seq,
        at_ms: seq,
        event,
    }
}

fn begun() -> LoggedEvent {
    let message = "it begins".to_owned();
    let stage = Stage::Work;
    logged(1, Event::Status { stage, message })
}

fn done() -> LoggedEvent {
    let done = Event::Done {
        outcome: Outcome::NoChanges,
        summary: String::new(),
        pr_url: None,
        branch: None,
        has_patch: false,
        usage: RunUsage::default(),
    };
    logged(2, done)
}

impl Traces {
    fn commit(&self, run: &RunId, event: LoggedEvent) {
        self.committed(run, self.steps(&[event]));
    }

    fn runs(&self) -> usize {
        self.0.as_ref().unwrap().active().len()
    }
}

#[test]
fn nothing_is_kept_of_a_run_that_ended_or_went_on_elsewhere() {
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let (traces, _release) = traces(sampler);
        traces.commit(&run(1), begun());
        traces.commit(&run(2), begun());
        assert_eq!(traces.runs(), 2);
        traces.commit(&run(1), done());
        assert_eq!(traces.runs(), 1);
        traces.lost(&run(2));
        assert_eq!(traces.runs(), 0);
        traces.lost(&run(3));
        traces.commit(&run(4), done());
        assert_eq!(traces.runs(), 0);
    }
}

#[test]
fn a_commit_of_nothing_begins_no_trace() {
    let (traces, _release) = traces(Sampler::AlwaysOn);
    traces.committed(&run(1), Steps::default());
    assert_eq!(traces.runs(), 0);
}

#[test]
fn a_run_has_a_trace_where_it_is_sampled() {
    let (on, _release) = traces(Sampler::AlwaysOn);
    let id = on.trace_id(&run(1)).unwrap();
    assert_eq!(id.len(), 32);
    assert_ne!(on.trace_id(&run(2)).unwrap(), id);
    let (off, _release) = traces(Sampler::AlwaysOff);
    assert_eq!(off.trace_id(&run(1)), None);
    assert_eq!(Traces::default().trace_id(&run(1)), None);
}

#[tokio::test]
async fn a_run_that_another_owner_took_is_no_longer_traced_here() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("runs.sqlite")).await;
    let store: Arc<dyn RunStore> = Arc::new(store.unwrap());
    let (traces, _release) = traces(Sampler::AlwaysOn);
    let observed = ObservedStore::new(Arc::clone(&store), Metrics::default(), traces.clone());
    let new = NewRun {
        id: run(1),
        request: serde_json::from_str(r#"{"repoUrl": "https://h/r", "prompt": "p"}"#).unwrap(),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
        sealed_token: None,
    };
    store.create(new).await.unwrap();
    let epoch = observed.claim(&run(1), "a", Duration::ZERO).await.unwrap();
    observed
        .append(&run(1), epoch, vec![begun()])
        .await
        .unwrap();
    assert_eq!(traces.runs(), 1);
    store
        .claim(&run(1), "b", Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(traces.runs(), 1);
    let late = observed
        .heartbeat(&run(1), epoch, Duration::from_secs(60))
        .await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    assert_eq!(traces.runs(), 0);
}

/// Trace ids must look random to a sampler that takes a part of them.
#[test]
fn a_part_of_the_runs_is_sampled_where_a_part_is_asked_for() {
    let (traces, _release) = traces(Sampler::TraceIdRatioBased(0.25));
    let ids = (0..2000).map(|_| RunId(uuid::Uuid::now_v7().to_string()));
    let sampled = ids.filter(|id| traces.trace_id(id).is_some()).count();
    assert!((350..650).contains(&sampled), "{sampled} of 2000");
}

#[test]
fn a_collector_that_is_stuck_holds_up_nobody_and_fills_nothing() {
    let (traces, release) = traces(Sampler::AlwaysOn);
    let begun_at = Instant::now();
    for number in 0..20_000 {
        traces.commit(&run(number), begun());
        traces.commit(&run(number), done());
    }
    assert!(
        begun_at.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun_at.elapsed()
    );
    assert_eq!(traces.runs(), 0);
    let shared = traces.0.unwrap();
    let limit = Duration::from_millis(100);
    let stopping = Instant::now();
    let stopped = shared.processor.shutdown_with_timeout(limit);
    assert!(stopped.is_err(), "the collector never answered");
    assert!(stopping.elapsed() < Duration::from_secs(5));
    drop(release);
}

#[test]
fn beyond_a_bound_runs_are_not_traced() {
    let (traces, _release) = traces(Sampler::AlwaysOn);
    for number in 0..MAX_RUNS as u64 + 10 {
        traces.commit(&run(number), begun());
    }
    assert_eq!(traces.runs(), MAX_RUNS);
}

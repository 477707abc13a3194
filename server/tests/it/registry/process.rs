//! A real server that is told to stop.

use std::sync::Arc;
use std::time::Duration;

use pullwright::store::SqliteStore;
use pullwright_core::store::{RunRecord, RunStore};
use pullwright_protocol::RunId;

use crate::served::{Served, SilentGit, read_until};
use crate::support::in_time;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_stops_at_once() {
    let git = SilentGit::start().await;
    for signal in ["TERM", "INT"] {
        let server = Served::start(&git.host, "").await;
        server.signal(signal);
        let (status, said) = server.stopped().await;
        assert!(status.success(), "{signal}: {status}");
        assert!(said.contains("no run is under way"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_keeps_its_runs() {
    let git = SilentGit::start().await;
    let limits = "max_concurrent_runs = 1\nshutdown_grace_sec = 1\n";
    let server = Served::start(&git.host, limits).await;
    let working = server.post(&git.repository(), "working").await;
    in_time(git.asked()).await;
    let waiting = server.post(&git.repository(), "waiting").await;
    let mut stream = server.stream(&waiting).await;
    let mut seen = String::new();
    in_time(read_until(&mut stream, &mut seen, "1st in the queue")).await;
    server.signal("TERM");
    // The stream of the run that waits ends, although the server still waits for the other one.
    while let Some(chunk) = in_time(stream.chunk()).await.expect("a chunk") {
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!seen.contains("Done"), "{seen}");
    let refused = server.answer(&git.repository(), "late").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(server.get("/readyz").await.status(), 503);
    assert_eq!(server.get("/healthz").await.status(), 200);
    let folder = Arc::clone(&server.folder);
    let (status, said) = server.stopped().await;
    assert!(status.success(), "{status}: {said}");
    assert!(
        said.contains("for 2 runs to end or to be handed over"),
        "{said}"
    );
    assert!(said.contains("handed over "), "{said}");
    let store = SqliteStore::open(folder.path().join("data/runs.sqlite")).await;
    let store = store.expect("open");
    for run in [&working, &waiting] {
        assert_eq!(
            record(&store, run).await.outcome,
            None,
            "{run} is not ended"
        );
    }
    let claim = store.claim(&waiting, "next", Duration::from_secs(60));
    claim.await.expect("its lease is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_server_at_once() {
    let git = SilentGit::start().await;
    let mut server = Served::start(&git.host, "shutdown_grace_sec = 3600\n").await;
    let run = server.post(&git.repository(), "once").await;
    in_time(git.asked()).await;
    server.signal("TERM");
    in_time(server.until_said("a second signal ends at once")).await;
    server.signal("TERM");
    let folder = Arc::clone(&server.folder);
    let (status, said) = server.stopped().await;
    assert_eq!(status.code(), Some(1), "{said}");
    let store = SqliteStore::open(folder.path().join("data/runs.sqlite")).await;
    let record = record(&store.expect("open"), &run).await;
    assert_eq!(record.outcome, None);
}

async fn record(store: &SqliteStore, run: &RunId) -> RunRecord {
    let record = store.get(run).await.expect("get");
    record.expect("a record")
}

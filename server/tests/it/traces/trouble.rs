//! Collectors that are gone, slow or broken cost a run nothing but its trace.

use std::process::Output;
use std::time::{Duration, Instant};

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore;

use super::collector::{Collector, Manner};
use super::{SCRIPT, SECTIONS, run_at, succeeded};
use crate::runs::command_line::Desk;

/// How long the program may take to send its last spans (`TRACES_GRACE`).
const GRACE: Duration = Duration::from_secs(5);

/// What a busy machine adds: less than the ten seconds that a silent collector is waited for.
const LEEWAY: Duration = Duration::from_secs(4);

/// Spans are sent while the run is under way, not all at its end.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");

/// What the program said, how long the run took by its own log, and how long the program.
struct Timed {
    output: Output,
    run: Duration,
    program: Duration,
}

async fn timed(endpoint: &str) -> Timed {
    let desk = Desk::new(SCRIPT, SECTIONS);
    let begun = Instant::now();
    let output = run_at(&desk, endpoint, &[AT_ONCE]).await;
    let program = begun.elapsed();
    succeeded(&output);
    let store = SqliteStore::open(&desk.path.join("data/runs.sqlite")).await;
    let record = store
        .expect("a store")
        .list(1)
        .await
        .expect("a list")
        .remove(0);
    let ended_at_ms = record.finished_at_ms.expect("an end");
    Timed {
        output,
        run: Duration::from_millis(ended_at_ms - record.created_at_ms),
        program,
    }
}

impl Timed {
    /// Whether the run took as long as without a collector, and the program little longer.
    fn is_like(&self, usual: &Self) {
        let (run, program) = (usual.run + LEEWAY, usual.program + GRACE + LEEWAY);
        assert!(self.run < run, "{:?} instead of {:?}", self.run, usual.run);
        let took = self.program;
        assert!(took < program, "{took:?} instead of {:?}", usual.program);
    }
}

fn warnings(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text
        .lines()
        .filter(|line| line.contains("does not take spans"));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let usual = timed("").await;
    let collector = Collector::start(Manner::IsSilent).await;
    timed(&collector.url()).await.is_like(&usual);
    assert!(collector.requests() > 0, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_or_fails_is_one_warning_with_a_count() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let failing = Collector::start(Manner::Fails).await;
    let usual = timed("").await;
    assert_eq!(warnings(&usual.output), [""; 0]);
    for endpoint in [gone, failing.url()] {
        let timed = timed(&endpoint).await;
        timed.is_like(&usual);
        let warnings = warnings(&timed.output);
        let [warning] = &warnings[..] else {
            panic!("one warning is expected: {warnings:#?}");
        };
        assert!(warning.contains("\"lost\":"), "{warning}");
    }
    assert!(failing.requests() > 0, "nothing was sent");
}

//! Starts, cancellations, ends, hand-overs and claims that meet. Whatever the order, no run is lost, none
//! is carried out twice at the same time, and no limit is exceeded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pullwright::runs::{Caller, Patience, RunsConfig};
use pullwright_protocol::{Outcome, RunId};

use super::stage::{Server, Stage, one_place};
use crate::support::{in_time, request};

const UNHURRIED: Patience = Patience {
    soon: Duration::from_secs(3600),
    now: Duration::from_secs(3600),
};

fn places(max_concurrent: usize) -> RunsConfig {
    RunsConfig {
        max_concurrent,
        ..one_place(1000)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_look_at_once_take_each_run_once() {
    let stage = Stage::new().await;
    let mut runs = Vec::new();
    for number in 0..20 {
        runs.push(stage.orphan(&format!("left-{number}"), "wait", 3).await);
    }
    let servers: Vec<Server> = (0..4).map(|_| stage.server(places(5))).collect();
    let taken = in_time(join_all(servers.iter().map(Server::recover))).await;
    assert!(taken.iter().all(|taken| *taken <= 5), "{taken:?}");
    // What one server lost to another leaves it a place; the queue gives that to the next run.
    for run in &runs {
        let begun = servers.iter().map(|server| server.actor.until_begun(run));
        in_time(futures_util::future::select_all(begun.map(Box::pin))).await;
    }
    let begun = servers.iter().map(|server| server.actor.begun().len());
    assert_eq!(begun.sum::<usize>(), runs.len());
    assert!(servers.iter().all(|server| server.actor.at_work() <= 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancellations_and_ends_that_meet_leave_no_run_and_no_seat_behind() {
    let stage = Arc::new(Stage::new().await);
    let server = Arc::new(stage.server(places(3)));
    let mut lives = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (stage, server) = (Arc::clone(&stage), Arc::clone(&server));
        lives.spawn(async move {
            let run = server.start("wait").await;
            match number % 3 {
                // Cancelled wherever it happens to be.
                0 => assert!(server.runs.cancel(&run).await.expect("cancel")),
                // Cancelled as it begins.
                1 => {
                    server.actor.until_begun(&run).await;
                    server.runs.cancel(&run).await.expect("cancel");
                }
                _ => {
                    server.actor.until_begun(&run).await;
                    assert!(server.actor.at_work() <= 3);
                    server.actor.end(&run);
                }
            }
            (number % 3, stage.until_ended(&run).await)
        });
    }
    for (kind, outcome) in in_time(lives.join_all()).await {
        let expected = match kind {
            2 => Outcome::NoChanges,
            _ => Outcome::Cancelled,
        };
        assert_eq!(outcome, expected);
    }
    until_empty(&server).await;
    let next: Vec<RunId> = join_all((0..3).map(|_| server.start("wait"))).await;
    for run in &next {
        server.actor.until_begun(run).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_that_meet_a_hand_over_are_refused_or_go_on_elsewhere() {
    for _ in 0..5 {
        let stage = Arc::new(Stage::new().await);
        let server = Arc::new(stage.server(places(3)));
        let first = server.start("wait").await;
        server.actor.until_begun(&first).await;
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let server = Arc::clone(&server);
            starts.spawn(async move {
                let started = server.runs.start(request("wait"), None, Caller::default());
                started.await.ok().map(|started| started.id)
            });
        }
        tokio::task::yield_now().await;
        let parted = in_time(server.runs.hand_over(UNHURRIED)).await;
        let started = in_time(starts.join_all()).await;
        let mut started: Vec<RunId> = started.into_iter().flatten().collect();
        started.push(first);
        assert_eq!(parted.abandoned, 0);
        assert_eq!(parted.handed_over, started.len());
        let stored = stage.store.list(100).await.expect("list");
        assert_eq!(stored.len(), started.len(), "a refused run leaves nothing");
        let next = stage.server(places(100));
        assert_eq!(next.recover().await, started.len());
        for run in &started {
            next.actor.until_begun(run).await;
            next.actor.end(run);
            assert_eq!(stage.until_ended(run).await, Outcome::NoChanges);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_meets_a_hand_over_is_not_forgotten() {
    for _ in 0..5 {
        let stage = Stage::new().await;
        let server = stage.server(places(2));
        let runs = join_all((0..6).map(|_| server.start("wait"))).await;
        let cancels = runs.iter().map(|run| server.runs.cancel(run));
        let (parted, cancelled) =
            in_time(async { tokio::join!(server.runs.hand_over(UNHURRIED), join_all(cancels)) })
                .await;
        assert!(cancelled.iter().all(Result::is_ok), "{cancelled:?}");
        let next = stage.server(places(100));
        assert_eq!(next.recover().await, parted.handed_over);
        for run in &runs {
            assert_eq!(stage.until_ended(run).await, Outcome::Cancelled, "{run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_survive_a_row_of_servers_that_stop_under_load() {
    let stage = Stage::new().await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        let server = stage.server(places(2));
        server.recover().await;
        runs.extend(join_all((0..5).map(|_| server.start("wait"))).await);
        in_time(server.runs.hand_over(UNHURRIED)).await;
    }
    let last = stage.server(places(100));
    assert_eq!(last.recover().await, runs.len());
    for run in &runs {
        last.actor.until_begun(run).await;
        last.actor.end(run);
        assert_eq!(stage.until_ended(run).await, Outcome::NoChanges);
    }
    until_empty(&last).await;
}

/// A run's end is seen in the log before the registry has forgotten the run.
async fn until_empty(server: &Server) {
    let empty = async {
        while server.runs.count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time(empty).await;
}

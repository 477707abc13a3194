//! A server that stops: its runs end, or go on elsewhere.

use std::time::Duration;

use pullwright::runs::{Departure, Parted, Patience};
use pullwright_core::store::StoreError;
use pullwright_protocol::Outcome;

use super::stage::{Stage, one_place};
use crate::support::in_time;

/// Longer than any test; what must not be waited for would hang.
const LONG: Duration = Duration::from_secs(3600);

const UNHURRIED: Patience = Patience {
    soon: LONG,
    now: LONG,
};

#[tokio::test]
async fn runs_that_work_and_runs_that_wait_go_on_at_another_server_at_once() {
    let stage = Stage::new().await;
    let (one, mut config) = (stage.server(one_place(10)), one_place(10));
    config.max_concurrent = 2;
    let two = stage.server(config);
    let (working, waiting) = (one.start("wait").await, one.start("wait").await);
    one.actor.until_begun(&working).await;
    stage.until_said(&waiting, "1st in the queue").await;
    let mut departing = one.runs.departing(&waiting).expect("it is here");
    assert_eq!(one.runs.count(), 2);
    let parted = in_time(one.runs.hand_over(UNHURRIED)).await;
    assert_eq!(
        parted,
        Parted {
            handed_over: 2,
            abandoned: 0
        }
    );
    assert_eq!(in_time(departing.departed()).await, Departure::GoesOn);
    assert!(one.runs.closed().is_cancelled());
    assert!(!one.actor.has_begun(&waiting));
    assert_eq!(two.recover().await, 2, "their leases are free");
    for run in [&working, &waiting] {
        let owned = two.actor.until_begun(run).await;
        assert!(owned.is_resumed);
        two.actor.end(run);
        assert_eq!(stage.until_ended(run).await, Outcome::NoChanges);
        assert_eq!(stage.record(run).await.stalled_claims, 0);
    }
}

#[tokio::test]
async fn a_run_that_ends_in_time_is_not_handed_over() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(0));
    let run = server.start("stubborn").await;
    server.actor.until_begun(&run).await;
    let mut departing = server.runs.departing(&run).expect("it is here");
    let handing_over = server.runs.hand_over(UNHURRIED);
    let (parted, ()) = in_time(async {
        tokio::join!(handing_over, async {
            server
                .actor
                .until_begun(&run)
                .await
                .hand_over
                .soon
                .cancelled()
                .await;
            server.actor.end(&run);
        })
    })
    .await;
    assert_eq!((parted.handed_over, parted.abandoned), (0, 0));
    assert_eq!(departing.departed().await, Departure::Ended);
    assert_eq!(stage.until_ended(&run).await, Outcome::NoChanges);
}

#[tokio::test]
async fn what_does_not_stop_is_interrupted_and_at_last_abandoned() {
    let stage = Stage::new().await;
    let mut config = one_place(0);
    config.max_concurrent = 2;
    let server = stage.server(config);
    let (stubborn, deaf) = (server.start("stubborn").await, server.start("deaf").await);
    for run in [&stubborn, &deaf] {
        server.actor.until_begun(run).await;
    }
    let mut departing = server.runs.departing(&deaf).expect("it is here");
    let soon = Duration::from_millis(10);
    let parted = in_time(server.runs.hand_over(Patience { soon, now: soon })).await;
    assert_eq!((parted.handed_over, parted.abandoned), (1, 1));
    assert_eq!(departing.departed().await, Departure::GoesOn);
    let claim = |run| stage.store.claim(run, "next", LONG);
    claim(&stubborn).await.expect("its lease is free");
    let kept = claim(&deaf).await;
    assert!(
        matches!(kept, Err(StoreError::Fenced(_))),
        "what may still be at work keeps its lease: {kept:?}"
    );
    assert_eq!(stage.record(&deaf).await.outcome, None);
}

#[tokio::test]
async fn a_stopping_server_takes_no_new_runs_and_none_of_others() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(10));
    in_time(server.runs.hand_over(UNHURRIED)).await;
    assert!(server.runs.is_closing());
    let problem = server.refused().await;
    assert_eq!(problem.status, 503);
    assert!(problem.retry_after_secs.is_some());
    assert!(problem.message.contains("stopping"), "{}", problem.message);
    let left = stage.orphan("left", "wait", 3).await;
    assert_eq!(server.recover().await, 0);
    assert_eq!(stage.store.orphans().await.expect("orphans"), [left]);
    assert!(
        stage.store.list(10).await.expect("list").len() == 1,
        "no run was made"
    );
}

#[tokio::test]
async fn a_run_that_waits_for_a_place_unclaimed_holds_up_nobody() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(0));
    let run = server.start("wait").await;
    server.actor.until_begun(&run).await;
    let left = stage.orphan("left", "wait", 3).await;
    assert_eq!(server.recover().await, 0, "there is no place");
    let parted = in_time(server.runs.hand_over(UNHURRIED)).await;
    assert_eq!(parted.handed_over, 1);
    assert!(!server.actor.has_begun(&left));
    let next = stage.server(one_place(0));
    assert_eq!(next.recover().await, 1);
}

#[tokio::test]
async fn a_run_that_is_handed_over_many_times_is_not_given_up() {
    let stage = Stage::new().await;
    let run = stage.orphan("left", "wait", 3).await;
    for _ in 0..6 {
        let server = stage.server(one_place(0));
        assert_eq!(server.recover().await, 1);
        server.actor.until_begun(&run).await;
        in_time(server.runs.hand_over(UNHURRIED)).await;
    }
    let last = stage.server(one_place(0));
    assert_eq!(last.recover().await, 1);
    last.actor.until_begun(&run).await;
    last.actor.end(&run);
    assert_eq!(stage.until_ended(&run).await, Outcome::NoChanges);
}

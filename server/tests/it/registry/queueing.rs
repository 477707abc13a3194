//! More runs than there are places.

use std::time::Duration;

use pullwright::metrics::Metrics;
use pullwright::runs::{Caller, Patience, RunsConfig, StartError};
use pullwright_protocol::{Event, FailureKind, Outcome};

use super::stage::{Stage, named, one_place};
use crate::support::{in_time, request};

const ACCEPTED: &str = "the run is accepted";

#[tokio::test]
async fn a_run_waits_for_its_place_and_says_where_it_stands() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(10));
    let (first, second, third) = (
        server.start("wait").await,
        server.start("wait").await,
        server.start("wait").await,
    );
    stage.until_said(&second, "1st in the queue").await;
    stage.until_said(&third, "2nd in the queue").await;
    server.actor.until_begun(&first).await;
    assert_eq!(server.actor.begun(), std::slice::from_ref(&first));
    server.actor.end(&first);
    let owned = server.actor.until_begun(&second).await;
    assert!(!owned.is_resumed);
    assert_eq!(owned.last_seq, 3, "what it said in the queue counts");
    stage.until_said(&third, "1st in the queue").await;
    server.actor.end(&second);
    server.actor.until_begun(&third).await;
    server.actor.end(&third);
    for run in [&first, &second, &third] {
        assert_eq!(stage.until_ended(run).await, Outcome::NoChanges);
    }
    let said = stage.said_of_the_queue(&third).await;
    assert_eq!(said, [ACCEPTED, "2nd in the queue", "1st in the queue"]);
    let said = stage.said_of_the_queue(&first).await;
    assert_eq!(said, [ACCEPTED], "it did not wait");
}

#[tokio::test]
async fn steps_that_follow_each_other_at_once_are_told_as_one() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(10));
    let first = server.start("wait").await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(server.start("wait").await);
    }
    let last = waiting.pop().expect("a run");
    stage.until_said(&last, "5th in the queue").await;
    for run in &waiting {
        assert!(server.runs.cancel(run).await.expect("cancel"));
    }
    stage.until_said(&last, "1st in the queue").await;
    let said = stage.said_of_the_queue(&last).await;
    assert!(said.len() <= 4, "four steps in one moment: {said:?}");
    server.actor.until_begun(&first).await;
}

#[tokio::test]
async fn a_waiting_run_is_cancelled_at_once_and_never_begins() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(10));
    let (first, second) = (server.start("wait").await, server.start("wait").await);
    assert!(server.runs.cancel(&second).await.expect("cancel"));
    assert_eq!(stage.until_ended(&second).await, Outcome::Cancelled);
    server.actor.until_begun(&first).await;
    server.actor.end(&first);
    let third = server.start("wait").await;
    server.actor.until_begun(&third).await;
    assert!(!server.actor.has_begun(&second));
    assert!(!server.runs.cancel(&second).await.expect("it has ended"));
}

#[tokio::test]
async fn a_waiting_run_is_cancelled_through_another_server() {
    let stage = Stage::new().await;
    let server = stage.server(RunsConfig {
        lease: Duration::from_millis(300),
        ..one_place(10)
    });
    let (_first, second) = (server.start("wait").await, server.start("wait").await);
    let other = stage.server(one_place(10));
    assert!(other.runs.cancel(&second).await.expect("cancel"));
    assert_eq!(stage.until_ended(&second).await, Outcome::Cancelled);
    assert!(!server.actor.has_begun(&second));
}

#[tokio::test]
async fn a_waiting_run_keeps_its_lease() {
    let stage = Stage::new().await;
    let lease = Duration::from_secs(2);
    let server = stage.server(RunsConfig {
        lease,
        ..one_place(10)
    });
    let (first, second) = (server.start("wait").await, server.start("wait").await);
    let begun = std::time::Instant::now();
    let mut looks = tokio::time::interval(lease / 10);
    while begun.elapsed() < lease + lease / 2 {
        looks.tick().await;
        assert!(stage.store.orphans().await.expect("orphans").is_empty());
    }
    server.actor.end(&first);
    server.actor.until_begun(&second).await;
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let stage = Stage::new().await;
    let server = stage.server(RunsConfig {
        max_queue: Duration::from_millis(10),
        ..one_place(10)
    });
    let (first, second) = (server.start("wait").await, server.start("wait").await);
    let limit = Outcome::Failed(FailureKind::Limit);
    assert_eq!(stage.until_ended(&second).await, limit);
    let events = stage.events(&second).await;
    let why = &events[events.len() - 2].event;
    assert!(
        matches!(why, Event::Error { message, .. } if message.contains("max_queue_minutes")),
        "{why:?}"
    );
    server.actor.until_begun(&first).await;
    assert_eq!(stage.record(&first).await.outcome, None, "it has its place");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(2));
    let (first, second) = (server.start("wait").await, server.start("wait").await);
    server.start("wait").await;
    let problem = server.refused().await;
    assert_eq!(
        (problem.status.as_u16(), problem.kind),
        (429, FailureKind::RateLimited)
    );
    assert_eq!(problem.retry_after_secs, Some(30), "no run has ended yet");
    assert!(
        problem.message.contains("1 are under way and 2 wait"),
        "{}",
        problem.message
    );
    assert_eq!(
        stage.store.list(10).await.expect("list").len(),
        3,
        "no run was made"
    );
    assert!(server.runs.cancel(&second).await.expect("cancel"));
    stage.until_ended(&second).await;
    let mut departing = server.runs.departing(&first).expect("it is here");
    server.actor.until_begun(&first).await;
    server.actor.end(&first);
    in_time(departing.departed()).await;
    server.start("wait").await;
    server.start("wait").await;
    let problem = server.refused().await;
    assert_eq!(problem.retry_after_secs, Some(5), "runs are short here");
}

#[tokio::test]
async fn a_server_without_a_queue_refuses_what_has_no_place() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(0));
    server.start("wait").await;
    assert_eq!(server.refused().await.status, 429);
}

#[tokio::test]
async fn a_retry_joins_the_run_that_waits() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(1));
    server.start("wait").await;
    let start = || {
        let key = Some("key".to_owned());
        server.runs.start(request("wait"), key, Caller::default())
    };
    let first = start().await.expect("start");
    assert!(!first.joined);
    let again = start().await.expect("the queue is full, and it is in it");
    assert!(again.joined);
    assert_eq!(again.id, first.id);
    assert_eq!(server.refused().await.status, 429);
}

#[tokio::test]
async fn a_key_and_a_repository_have_limits_of_their_own() {
    let stage = Stage::new().await;
    let server = stage.server(RunsConfig {
        max_concurrent: 10,
        max_per_key: Some(2),
        max_per_repository: Some(3),
        ..RunsConfig::default()
    });
    let on = |repository: &str| {
        let mut request = request("wait");
        request.repo_url = format!("https://github.com/owner/{repository}");
        request
    };
    let ann_1 = server.start_by(named("ann"), on("one")).await;
    let ann_2 = server.start_by(named("ann"), on("two")).await;
    let ann_3 = server.start_by(named("ann"), on("three")).await;
    let bob_1 = server.start_by(named("bob"), on("one.git")).await;
    let bob_2 = server.start_by(named("bob"), on("one/")).await;
    let cyd_1 = server.start_by(named("cyd"), on("one")).await;
    let cyd_2 = server.start_by(named("cyd"), on("two")).await;
    for run in [&ann_1, &ann_2, &bob_1, &bob_2, &cyd_2] {
        server.actor.until_begun(run).await;
    }
    stage.until_said(&ann_3, "1st in the queue").await;
    stage.until_said(&cyd_1, "2nd in the queue").await;
    assert_eq!(server.actor.at_work(), 5);
    server.actor.end(&ann_2);
    server.actor.until_begun(&ann_3).await;
    assert!(!server.actor.has_begun(&cyd_1), "three still work on it");
    server.actor.end(&bob_1);
    server.actor.until_begun(&cyd_1).await;
}

#[tokio::test]
async fn a_caller_with_many_runs_does_not_keep_another_waiting() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(100));
    let first = server.start_by(named("ann"), request("wait")).await;
    let mut many = Vec::new();
    for _ in 0..50 {
        many.push(server.start_by(named("ann"), request("wait")).await);
    }
    let single = server.start_by(named("bob"), request("wait")).await;
    stage.until_said(&single, "2nd in the queue").await;
    stage.until_said(&many[49], "50th in the queue").await;
    for run in [&first, &many[0], &single, &many[1]] {
        server.actor.until_begun(run).await;
        server.actor.end(run);
    }
}

#[tokio::test]
async fn a_bad_request_takes_no_seat() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(0));
    let refused = server.runs.start(request(" "), None, Caller::default());
    assert!(matches!(refused.await, Err(StartError::Refused(problem)) if problem.status == 400));
    let run = server.start("wait").await;
    server.actor.until_begun(&run).await;
}

#[tokio::test]
async fn runs_that_wait_are_counted() {
    let metrics = Metrics::default();
    let stage = Stage::counted_by(metrics.clone()).await;
    let server = stage.server(one_place(10));
    let count = |name: &str| {
        let text = metrics.text().expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let is = |queued: &str, active: &str| {
        assert_eq!(count("pullwright_runs_queued ").as_deref(), Some(queued));
        assert_eq!(count("pullwright_runs_active ").as_deref(), Some(active));
    };
    let first = server.start("wait").await;
    stage.until_said(&first, "working").await;
    let (second, third) = (server.start("wait").await, server.start("wait").await);
    stage.until_said(&third, "2nd in the queue").await;
    is("2", "3");
    server.runs.cancel(&third).await.expect("cancel");
    stage.until_ended(&third).await;
    is("1", "2");
    server.actor.end(&first);
    stage.until_said(&second, "working").await;
    is("0", "1");
    let waits = count("pullwright_stage_seconds_count{stage=\"queued\"} ");
    assert_eq!(waits.as_deref(), Some("3"), "how long each waited");
    server.start("wait").await;
    let unhurried = Patience {
        soon: Duration::from_secs(3600),
        now: Duration::from_secs(3600),
    };
    in_time(server.runs.hand_over(unhurried)).await;
    is("0", "0");
}

//! Runs of dead servers: another one goes on with them, as far as it has places.

use std::time::Duration;

use pullwright::runs::Departure;
use pullwright_protocol::{Event, FailureKind, Outcome, RunId};

use super::stage::{Server, Stage, one_place};
use crate::support::{in_time, status};

#[tokio::test]
async fn a_run_of_a_dead_server_goes_on_from_its_log() {
    let stage = Stage::new().await;
    let run = stage.orphan("left", "wait", 7).await;
    let server = stage.server(one_place(0));
    assert_eq!(server.recover().await, 1);
    let owned = server.actor.until_begun(&run).await;
    assert!(owned.is_resumed);
    assert_eq!(owned.last_seq, 7);
    assert_eq!(owned.request, stage.record(&run).await.request);
    assert!(!owned.cancel.is_cancelled());
    assert_eq!(server.recover().await, 0, "it has an owner");
    assert!(
        server.actor.cleaned().is_empty(),
        "what is left is gone on with"
    );
    let mut departing = server.runs.departing(&run).expect("it is here");
    server.actor.end(&run);
    assert_eq!(stage.until_ended(&run).await, Outcome::NoChanges);
    assert_eq!(in_time(departing.departed()).await, Departure::Ended);
    assert!(
        server.actor.cleaned().is_empty(),
        "who ended it has tidied up"
    );
}

#[tokio::test]
async fn a_run_that_never_began_begins() {
    let stage = Stage::new().await;
    let run = stage.orphan("left", "wait", 0).await;
    let server = stage.server(one_place(0));
    assert_eq!(server.recover().await, 1);
    let owned = server.actor.until_begun(&run).await;
    assert!(!owned.is_resumed, "there is nothing to go on from");
    assert_eq!(owned.last_seq, 2);
    let events = stage.events(&run).await;
    assert!(matches!(events[0].event, Event::RunCreated { .. }));
    server.actor.end(&run);
    assert_eq!(stage.until_ended(&run).await, Outcome::NoChanges);
}

#[tokio::test]
async fn each_server_takes_what_it_has_places_for() {
    let stage = Stage::new().await;
    let mut runs = Vec::new();
    for number in 0..5 {
        runs.push(stage.orphan(&format!("left-{number}"), "wait", 3).await);
    }
    let one = stage.server(one_place(0));
    let mut config = one_place(0);
    config.max_concurrent = 3;
    let other = stage.server(config);
    assert_eq!(one.recover().await, 1);
    assert_eq!(one.recover().await, 0, "it is full");
    assert_eq!(stage.store.orphans().await.expect("orphans").len(), 4);
    assert_eq!(other.recover().await, 3);
    assert_eq!(stage.store.orphans().await.expect("orphans"), runs[4..]);
    // The last one goes to the first place that becomes free, without another look.
    other.actor.until_begun(&runs[1]).await;
    other.actor.end(&runs[1]);
    other.actor.until_begun(&runs[4]).await;
    assert!(stage.store.orphans().await.expect("orphans").is_empty());
    // The first server had it in its queue, too: its place goes to the next run.
    assert_eq!(one.refused().await.status, 429, "the only place is taken");
    one.actor.until_begun(&runs[0]).await;
    one.actor.end(&runs[0]);
    stage.until_ended(&runs[0]).await;
    let new = one.start_in_time("wait").await;
    one.actor.until_begun(&new).await;
    assert!(!one.actor.has_begun(&runs[4]));
}

#[tokio::test]
async fn new_runs_do_not_get_ahead_of_those_that_were_accepted_elsewhere() {
    let stage = Stage::new().await;
    let server = stage.server(one_place(10));
    let first = server.start("wait").await;
    let new = server.start("wait").await;
    let left = stage.orphan("left", "wait", 3).await;
    assert_eq!(server.recover().await, 0, "there is no place");
    stage.until_said(&new, "1st in the queue").await;
    stage.until_said(&new, "2nd in the queue").await;
    assert_eq!(
        stage.store.orphans().await.expect("orphans").len(),
        1,
        "unclaimed"
    );
    server.actor.until_begun(&first).await;
    server.actor.end(&first);
    server.actor.until_begun(&left).await;
    assert!(!server.actor.has_begun(&new));
    server.actor.end(&left);
    server.actor.until_begun(&new).await;
}

#[tokio::test]
async fn a_cancelled_run_is_taken_over_to_be_ended() {
    let stage = Stage::new().await;
    let run = stage.orphan("left", "wait", 3).await;
    assert!(stage.store.cancel(&run).await.expect("cancel"));
    let server = stage.server(one_place(0));
    assert_eq!(server.recover().await, 1);
    assert!(server.actor.until_begun(&run).await.cancel.is_cancelled());
    assert_eq!(stage.until_ended(&run).await, Outcome::Cancelled);
}

#[tokio::test]
async fn a_run_that_kills_its_servers_is_given_up() {
    let stage = Stage::new().await;
    let run = stage.orphan("deadly", "wait", 9).await;
    // Three servers take it over and die; the third one had said at least that it did.
    for events in [0, 1, 2] {
        let claimed = stage.store.claim(&run, "next", Duration::ZERO).await;
        let last = stage.record(&run).await.last_seq;
        let said: Vec<_> = (last + 1..=last + events)
            .map(|n| status(n, "taken over"))
            .collect();
        let append = stage.store.append(&run, claimed.expect("claim"), said);
        append.await.expect("append");
    }
    let server = stage.server(one_place(0));
    assert_eq!(server.recover().await, 1);
    let owned = server.actor.until_begun(&run).await;
    assert!(owned.is_given_up, "its work is saved");
    let interrupted = Outcome::Failed(FailureKind::Interrupted);
    assert_eq!(stage.until_ended(&run).await, interrupted);
}

#[tokio::test]
async fn a_run_whose_work_cannot_even_be_saved_is_ended_without() {
    let stage = Stage::new().await;
    let interrupted = Outcome::Failed(FailureKind::Interrupted);
    // Of one that has no log yet there is nothing to save.
    for (name, events, deaths) in [("deadly", 9, 4), ("stillborn", 0, 3)] {
        let run = stage.orphan(name, "wait", events).await;
        for _ in 0..deaths {
            let claimed = stage.store.claim(&run, "next", Duration::ZERO).await;
            claimed.expect("claim");
        }
        let server = stage.server(one_place(0));
        assert_eq!(server.recover().await, 1);
        assert_eq!(stage.until_ended(&run).await, interrupted);
        assert!(!server.actor.has_begun(&run));
        assert_eq!(server.actor.cleaned(), std::slice::from_ref(&run));
        says_why_it_is_given_up(&stage, &server, &run).await;
    }
}

async fn says_why_it_is_given_up(stage: &Stage, server: &Server, run: &RunId) {
    let events = stage.events(run).await;
    let why = &events[events.len() - 2].event;
    assert!(
        matches!(why, Event::Error { kind: FailureKind::Interrupted, message, .. } if message.contains("in a row")),
        "{why:?}"
    );
    let next = server.start("wait").await;
    server.actor.until_begun(&next).await;
}

#[tokio::test]
async fn a_run_that_comes_further_each_time_goes_on() {
    let stage = Stage::new().await;
    let run = stage.orphan("unlucky", "wait", 3).await;
    for _ in 0..10 {
        let claimed = stage.store.claim(&run, "next", Duration::ZERO).await;
        let last = stage.record(&run).await.last_seq;
        let work: Vec<_> = (last + 1..=last + 3).map(|n| status(n, "work")).collect();
        let append = stage.store.append(&run, claimed.expect("claim"), work);
        append.await.expect("append");
    }
    let server = stage.server(one_place(0));
    assert_eq!(server.recover().await, 1);
    assert!(server.actor.until_begun(&run).await.is_resumed);
}

#[tokio::test]
async fn a_run_that_another_server_took_gives_its_seat_back_at_the_next_look() {
    let stage = Stage::new().await;
    let busy = stage.server(one_place(1));
    let first = busy.start("wait").await;
    let left = stage.orphan("left", "wait", 3).await;
    assert_eq!(busy.recover().await, 0, "it waits there");
    assert_eq!(busy.refused().await.status, 429, "the only seat is taken");
    let other = stage.server(one_place(0));
    assert_eq!(other.recover().await, 1);
    other.actor.until_begun(&left).await;
    assert_eq!(busy.recover().await, 0);
    let new = busy.start_in_time("wait").await;
    stage.until_said(&new, "1st in the queue").await;
    busy.actor.until_begun(&first).await;
    busy.actor.end(&first);
    busy.actor.until_begun(&new).await;
    assert!(!busy.actor.has_begun(&left));
}

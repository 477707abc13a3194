//! Runs that are taken up again: as whose, by whom, and what is left of those that somebody else has ended.

use std::sync::Arc;
use std::time::Duration;

use pullwright::access::{AccessStore, Grant, KeyOwners, NewKey, Secret};
use pullwright::runs::{Caller, Departure, RunsConfig};
use pullwright::store::SqliteStore;
use pullwright_core::caller_token::CallerToken;
use pullwright_core::store::NewRun;
use pullwright_protocol::{Outcome, RunId};
use tempfile::TempDir;

use super::stage::{Server, Stage};
use crate::support::{done, id, in_time, request};

#[tokio::test]
async fn runs_that_are_taken_up_again_count_as_their_owners() {
    let folder = TempDir::new().expect("a folder");
    let store = SqliteStore::open(folder.path().join("runs.sqlite")).await;
    let store = Arc::new(store.expect("open"));
    for (grant, is_revoked) in [(5, true), (1, false)] {
        let new = NewKey {
            name: "ci".parse().expect("a name"),
            digest: Secret::generate().expect("random bytes").digest(),
            grant: Grant {
                max_concurrent: Some(grant),
                ..Grant::default()
            },
            created_at_ms: 1000 - grant as u64,
            expires_at_ms: None,
        };
        store.create_key(&new).await.expect("a key");
        if is_revoked {
            assert!(store.revoke_key("ci", 999).await.expect("revoke"));
        }
    }
    let stage = Stage::on(Arc::clone(&store) as _);
    for (owner, count) in [("ci", 3), ("webhooks/github", 3), ("gone", 2)] {
        for number in 0..count {
            leave_by(&stage, owner, number).await;
        }
    }
    let owners = KeyOwners::new(store).and("webhooks/github", Some(2));
    let server = stage.server(RunsConfig {
        owners: Some(Arc::new(owners)),
        ..RunsConfig::default()
    });
    assert_eq!(server.recover().await, 1 + 2 + 2);
}

#[tokio::test]
async fn a_run_that_was_put_aside_is_left_to_whoever_has_its_token() {
    let stage = Stage::new().await;
    let (one, two) = (
        stage.server(RunsConfig::default()),
        stage.server(RunsConfig::default()),
    );
    let run = put_aside(&stage, &one).await;
    assert_eq!(two.recover().await, 0, "it has no token");
    assert_eq!(one.recover().await, 1);
    assert_eq!(stage.until_ended(&run).await, Outcome::NoChanges);
}

#[tokio::test]
async fn a_run_whose_token_died_with_its_server_is_ended_in_the_end() {
    let stage = Stage::new().await;
    let one = stage.server(RunsConfig::default());
    let run = put_aside(&stage, &one).await;
    let two = stage.server(RunsConfig {
        lease: Duration::from_millis(5),
        ..RunsConfig::default()
    });
    let taken = async {
        while two.recover().await == 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time(taken).await;
    let owned = two.actor.until_begun(&run).await;
    assert!(owned.token.is_none() && owned.request.caller_token);
}

#[tokio::test]
async fn what_is_left_of_a_run_that_ends_elsewhere_is_given_back_while_serving() {
    let stage = Stage::new().await;
    let run = stage.create("elsewhere", "wait").await;
    let claimed = stage
        .store
        .claim(&run, "other", Duration::from_secs(60))
        .await;
    let epoch = claimed.expect("claim");
    let server = stage.server(RunsConfig {
        lease: Duration::from_millis(15),
        ..RunsConfig::default()
    });
    server.actor.leave(vec![run.clone()]);
    let runs = server.runs.clone();
    let serving = tokio::spawn(async move { runs.keep_recovering().await });
    let next = stage.orphan("next", "wait", 1).await;
    server.actor.until_begun(&next).await;
    assert!(server.actor.cleaned().is_empty(), "it goes on elsewhere");
    let outcome = Outcome::NoChanges;
    let finish = stage.store.finish(&run, epoch, outcome, done(1, outcome));
    finish.await.expect("finish");
    let given_back = async {
        while server.actor.cleaned().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    in_time(given_back).await;
    assert_eq!(server.actor.cleaned()[0], run);
    serving.abort();
}

/// A run of an owner whose server died.
async fn leave_by(stage: &Stage, owner: &str, number: usize) {
    let run = id(&format!("{owner}-{number}"));
    let new = NewRun {
        id: run.clone(),
        request: request("wait"),
        owner: Some(owner.to_owned()),
        idempotency_key: None,
        at_ms: 1000,
        sealed_token: None,
    };
    stage.store.create(new).await.expect("create");
    let claimed = stage.store.claim(&run, "dead", Duration::ZERO).await;
    claimed.expect("claim");
}

/// A run with its caller's token in a server's memory, which has been put aside there, and whose time has come.
async fn put_aside(stage: &Stage, server: &Server) -> RunId {
    let token = CallerToken::parse(b"ghp_callers").expect("a token");
    let caller = Caller::default();
    let start = server
        .runs
        .start_with_token(request("aside"), None, caller, Some(token));
    let run = start.await.expect("start").id;
    if let Some(mut departing) = server.runs.departing(&run) {
        assert_eq!(in_time(departing.departed()).await, Departure::Parked);
    }
    assert!(stage.record(&run).await.parked_until_ms.is_some());
    run
}

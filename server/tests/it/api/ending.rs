//! Whatever happens to a run, its stream ends with `Done`.

use std::time::Duration;

use pullwright::runs::Patience;
use pullwright_core::store::NewRun;
use pullwright_protocol::{FailureKind, Outcome};
use serde_json::json;

use super::server::{Server, Setup, data, ids, run_id, send, text};
use crate::support::{PATIENCE, id, in_time, request, status};

#[tokio::test]
async fn a_panic_ends_the_run() {
    let server = Server::start().await;
    for play in ["panic", "silent"] {
        let frames = data(&text(server.code(play)).await);
        let [.., error, done] = frames.as_slice() else {
            panic!("{frames:?}");
        };
        assert_eq!(
            (&error["type"], &error["kind"]),
            (&json!("Error"), &json!("internal"))
        );
        assert_eq!(
            (&done["type"], &done["outcome"]),
            (&json!("Done"), &json!("failed(internal)"))
        );
    }
}

#[tokio::test]
async fn a_cancelled_run_that_hangs_is_ended() {
    let mut setup = Setup::default();
    setup.runs.cancel_grace = Duration::from_millis(10);
    let server = Server::start_with(setup).await;
    let response = send(server.code("hang")).await;
    let run = run_id(&response);
    let cancel = format!("/v1/runs/{run}/cancel");
    assert_eq!(send(server.post(&cancel, &json!({}))).await.status(), 202);
    let frames = data(&in_time(response.text()).await.expect("a body"));
    assert_eq!(frames.last().expect("a frame")["outcome"], "cancelled");
    let again = send(server.post(&cancel, &json!({}))).await;
    assert_eq!(again.status(), 409, "it has ended already");
}

#[tokio::test]
async fn a_full_store_ends_the_stream_without_ids() {
    let setup = Setup {
        max_pages: Some(128),
        ..Setup::default()
    };
    let server = Server::start_with(setup).await;
    let stream = text(server.code("fill")).await;
    let frames = data(&stream);
    let [.., error, done] = frames.as_slice() else {
        panic!("{frames:?}");
    };
    assert_eq!(
        (&error["type"], &done["type"]),
        (&json!("Error"), &json!("Done"))
    );
    assert_eq!(done["outcome"], "failed(internal)");
    assert_eq!(
        ids(&stream).len(),
        frames.len() - 2,
        "what is not in the log has no id"
    );
}

#[tokio::test]
async fn a_run_that_is_given_up_keeps_its_patch() {
    let server = Server::start().await;
    let run = id("left-behind");
    let new = NewRun {
        id: run.clone(),
        request: request("hello"),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
        sealed_token: None,
    };
    server.store.create(new).await.expect("create");
    for owner in 0..4 {
        let dead = server.store.claim(&run, "dead", Duration::ZERO).await;
        let dead = dead.expect("claim");
        if owner == 0 {
            let append = server.store.append(&run, dead, vec![status(1, "x")]);
            append.await.expect("append");
            let put = server.store.put_patch(&run, dead, b"patch");
            put.await.expect("patch");
        }
    }
    let alive = run_id(&send(server.code("wait")).await);
    assert_eq!(server.runs.recover().await.expect("recover"), 1);
    assert_eq!(server.runs.recover().await.expect("recover again"), 0);
    let interrupted = Outcome::Failed(FailureKind::Interrupted);
    assert_eq!(server.until_ended(&run).await, interrupted);
    let frames = data(&text(server.get(&format!("/v1/runs/{run}/stream"))).await);
    assert_eq!(frames[1]["kind"], "interrupted");
    assert_eq!(frames[2]["outcome"], "failed(interrupted)");
    assert_eq!(frames[2]["patchUrl"], format!("/v1/runs/{run}/patch"));
    let patch = text(server.get(&format!("/v1/runs/{run}/patch"))).await;
    assert_eq!(patch, "patch");
    let record = server.store.get(&alive).await.expect("get");
    let outcome = record.expect("a record").outcome;
    assert_eq!(outcome, None, "a living run is left alone");
}

#[tokio::test]
async fn a_stream_ends_without_an_end_where_its_run_goes_on_elsewhere() {
    let server = Server::start().await;
    let response = send(server.code("wait")).await;
    let run = run_id(&response);
    let followed = send(server.get(&format!("/v1/runs/{run}/events"))).await;
    let (soon, now) = (PATIENCE, PATIENCE);
    let parted = in_time(server.runs.hand_over(Patience { soon, now })).await;
    assert_eq!(parted.handed_over, 1);
    for stream in [response, followed] {
        let stream = in_time(stream.text()).await.expect("a body");
        assert!(stream.contains("the run is accepted"), "{stream}");
        assert!(!stream.to_lowercase().contains("done"), "{stream}");
    }
    let refused = send(server.code("wait")).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(send(server.get("/readyz")).await.status(), 503);
    // Somebody who comes now is not kept either.
    let again = text(server.get(&format!("/v1/runs/{run}/stream?from=2"))).await;
    assert_eq!(ids(&again), [2]);
    assert_eq!(server.store.orphans().await.expect("orphans"), [run]);
}

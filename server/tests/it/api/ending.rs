//! Whatever happens to a run, its stream ends with `Done`.

use std::time::Duration;

use pullwright_core::store::NewRun;
use pullwright_protocol::Outcome;
use serde_json::json;

use super::server::{Server, Setup, data, ids, run_id, send, text};
use crate::support::{id, in_time, request, status};

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
    let cancel_grace = Duration::from_millis(10);
    let server = Server::start_with(Setup {
        cancel_grace,
        ..Setup::default()
    })
    .await;
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
async fn runs_of_a_dead_server_are_gone_on_with() {
    let server = Server::start().await;
    let run = id("left-behind");
    let new = NewRun {
        id: run.clone(),
        request: request("hello"),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
    };
    server.store.create(new).await.expect("create");
    let dead = server.store.claim(&run, "dead", Duration::ZERO).await;
    let dead = dead.expect("claim");
    let first = server.store.append(&run, dead, vec![status(1, "x")]);
    first.await.expect("append");
    let alive = run_id(&send(server.code("wait")).await);
    assert_eq!(server.runs.recover().await.expect("recover"), 1);
    assert_eq!(server.runs.recover().await.expect("recover again"), 0);
    assert_eq!(server.until_ended(&run).await, Outcome::PatchOnly);
    let record = server
        .store
        .get(&alive)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!(record.outcome, None, "a living run is left alone");
}

#[tokio::test]
async fn shutting_down_cancels_the_runs() {
    let server = Server::start().await;
    let response = send(server.code("wait")).await;
    in_time(server.runs.shut_down(Duration::from_secs(10))).await;
    let frames = data(&in_time(response.text()).await.expect("a body"));
    assert_eq!(frames.last().expect("a frame")["outcome"], "cancelled");
    assert_eq!(send(server.code("wait")).await.status(), 429);
}

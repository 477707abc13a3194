//! Runs whose events have left the store.

use pullwright_core::store::Retired;
use serde_json::{Value, json};

use super::server::{Server, data, run_id, send, text};

#[tokio::test]
async fn a_retired_run_is_gone_and_says_how_it_ended() {
    let server = Server::start().await;
    for (how, word) in [
        (Retired::Archived, "archive"),
        (Retired::Removed, "removed"),
    ] {
        let code = || server.code("hello").header("Idempotency-Key", how.as_str());
        let response = send(code()).await;
        let run = run_id(&response);
        server.until_ended(&run).await;
        while server.store.retire(&run, how).await.expect("retire") {}
        for path in [
            "events",
            "stream",
            "patch",
            "events?from=1",
            "events?limit=1",
        ] {
            let request = server.get(&format!("/v1/runs/{run}/{path}"));
            is_gone(send(request).await, word).await;
        }
        is_gone(send(code()).await, word).await;
        let events = server.get(&format!("/v1/runs/{run}/events"));
        let page = events.header("Accept", "application/json");
        is_gone(send(page).await, word).await;
        let record = text(server.get(&format!("/v1/runs/{run}"))).await;
        let record: Value = serde_json::from_str(&record).expect("JSON");
        assert_eq!(record["retired"], json!(how.as_str()));
        assert_eq!(record["outcome"], "patch only");
        let cancel = server.post(&format!("/v1/runs/{run}/cancel"), &json!({}));
        assert_eq!(send(cancel).await.status(), 409);
    }
    let listed = text(server.get("/v1/runs")).await;
    assert_eq!(listed.matches("\"retired\"").count(), 2, "{listed}");
}

#[tokio::test]
async fn a_stream_whose_run_is_retired_meanwhile_ends() {
    let server = Server::start().await;
    let run = run_id(&send(server.code("many 5000")).await);
    server.until_ended(&run).await;
    // The client has read the head, and no more than its connection holds of the rest.
    let response = send(server.get(&format!("/v1/runs/{run}/stream"))).await;
    assert_eq!(response.status(), 200);
    while server
        .store
        .retire(&run, Retired::Removed)
        .await
        .expect("retire")
    {}
    let stream = crate::support::in_time(response.text())
        .await
        .expect("an end");
    let done = data(&stream).pop().expect("a frame");
    assert_eq!(done["type"], "Done", "{done}");
}

async fn is_gone(response: reqwest::Response, word: &str) {
    assert_eq!(response.status(), 410);
    let problem = response.text().await.expect("a body");
    let problem: Value = serde_json::from_str(&problem).expect("JSON");
    assert_eq!(problem["kind"], "bad_request");
    let message = problem["message"].as_str().expect("a message");
    assert!(
        message.contains(word) && message.contains("ended long ago"),
        "{message}"
    );
}

//! What a client of a stream sees.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{Server, Setup, body, data, ids, run_id, send, text};
use crate::support::{PATIENCE, id, in_time};

const HELLO: &str = concat!(
    "id: 2\ndata: {\"type\":\"Status\",\"stage\":\"queued\",\"message\":\"the run is accepted\"}\n\n",
    "id: 3\ndata: {\"type\":\"Status\",\"stage\":\"work\",\"message\":\"line one\\nline two\"}\n\n",
    "id: 5\ndata: {\"type\":\"Tool: Read\",\"filepath\":\"src/é.rs\",\"isError\":false}\n\n",
    "id: 6\ndata: {\"type\":\"Error\",\"kind\":\"overloaded\",\"message\":\"no capacity\",",
    "\"retrying\":true,\"attempt\":1}\n\n",
    "id: 7\ndata: {\"type\":\"Done\",\"outcome\":\"patch only\",\"prUrl\":null,\"branch\":null,",
    "\"patchUrl\":null,\"summary\":\"it is over\",",
    "\"usage\":{\"inputTokens\":0,\"cachedTokens\":0,\"outputTokens\":0,\"usd\":null}}\n\n",
);

#[tokio::test]
async fn the_stream_is_exact() {
    let server = Server::start().await;
    let response = send(server.code("hello")).await;
    let run = run_id(&response);
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(response.status(), 200);
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-cache");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("location"), format!("/v1/runs/{run}"));
    let stream = in_time(response.text()).await.expect("a body");
    assert_eq!(stream, HELLO);
    let again = text(server.get(&format!("/v1/runs/{run}/stream"))).await;
    assert_eq!(again, HELLO);
}

#[tokio::test]
async fn deltas_come_when_asked_for() {
    let server = Server::start().await;
    let stream = text(server.post("/code?deltas=1", &body("hello"))).await;
    assert_eq!(ids(&stream), [2, 3, 4, 5, 6, 7]);
    assert_eq!(
        data(&stream)[2],
        json!({ "type": "AI Message Delta", "delta": "Hel" })
    );
}

#[tokio::test]
async fn a_stream_resumes_after_any_event() {
    let server = Server::start().await;
    let response = send(server.code("hello")).await;
    let run = run_id(&response);
    in_time(response.text()).await.expect("a body");
    for after in 0..7 {
        let events = server.get(&format!("/v1/runs/{run}/events"));
        let stream = text(events.header("Last-Event-ID", after)).await;
        assert_eq!(ids(&stream), (after + 1..=7).collect::<Vec<u64>>());
        let from = server.get(&format!("/v1/runs/{run}/events?from={}", after + 1));
        assert_eq!(text(from).await, stream);
    }
    let events = text(server.get(&format!("/v1/runs/{run}/events"))).await;
    assert_eq!(data(&events)[0]["event"]["type"], "run_created");
    let over = server
        .get(&format!("/v1/runs/{run}/events"))
        .header("Last-Event-ID", 7);
    assert_eq!(
        send(over).await.status(),
        204,
        "an event source must not come back"
    );
    let future = server
        .get(&format!("/v1/runs/{run}/events"))
        .header("Last-Event-ID", 8);
    assert_eq!(send(future).await.status(), 400);
}

#[tokio::test]
async fn a_retry_joins_its_run() {
    let server = Server::start().await;
    let first = send(server.code("hello").header("Idempotency-Key", "k")).await;
    let run = run_id(&first);
    assert_eq!(in_time(first.text()).await.expect("a body"), HELLO);
    let retry = server.code("hello").header("Idempotency-Key", "k");
    let second = send(retry.header("Last-Event-ID", "5")).await;
    assert_eq!(run_id(&second), run);
    assert_eq!(ids(&in_time(second.text()).await.expect("a body")), [6, 7]);
    let other = send(server.code("wait").header("Idempotency-Key", "k")).await;
    assert_eq!(other.status(), 422);
    assert_eq!(server.store.list(10).await.expect("list").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_at_the_same_time_make_one_run() {
    let server = Server::start().await;
    let retries = (0..16).map(|_| text(server.code("hello").header("Idempotency-Key", "k")));
    let streams = futures_util::future::join_all(retries).await;
    assert!(streams.iter().all(|stream| stream == HELLO), "{streams:?}");
    assert_eq!(server.store.list(10).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let heartbeat = Duration::from_millis(20);
    let server = Server::start_with(Setup {
        heartbeat,
        ..Setup::default()
    })
    .await;
    let response = send(server.code("wait")).await;
    let run = run_id(&response);
    let mut seen = String::new();
    let mut chunks = response.bytes_stream();
    while seen.matches(": keep-alive\n\n").count() < 3 {
        let chunk = in_time(chunks.next())
            .await
            .expect("a chunk")
            .expect("bytes");
        seen.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    assert!(
        seen.starts_with("id: 2\n"),
        "the first frame comes before the work: {seen}"
    );
    assert_eq!(
        send(server.post(&format!("/v1/runs/{run}/cancel"), &json!({})))
            .await
            .status(),
        202
    );
    while let Some(chunk) = in_time(chunks.next()).await {
        seen.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("text"));
    }
    assert_eq!(data(&seen).last().expect("a frame")["outcome"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_slows_only_itself() {
    const EVENTS: u64 = 20_000;
    let server = Server::start().await;
    let json = body(&format!("many {EVENTS}")).to_string();
    let mut slow = TcpStream::connect(server.address).await.expect("connect");
    let request = format!(
        "POST /code HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{json}",
        server.address,
        json.len()
    );
    slow.write_all(request.as_bytes()).await.expect("write");
    let mut head = vec![0; 64];
    in_time(slow.read_exact(&mut head)).await.expect("the head");
    let run = server.store.list(1).await.expect("list")[0].id.clone();
    server.until_ended(&run).await;
    let mut rest = Vec::new();
    tokio::time::timeout(3 * PATIENCE, slow.read_to_end(&mut rest))
        .await
        .expect("time")
        .expect("read");
    let seen = ids(&String::from_utf8_lossy(&rest));
    assert!(
        seen.iter().copied().eq(2..=EVENTS + 3),
        "{} of {EVENTS} events",
        seen.len()
    );
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_the_run() {
    let server = Server::start().await;
    let response = send(server.code("wait")).await;
    let run = run_id(&response);
    drop(response);
    drop(send(server.get(&format!("/v1/runs/{run}/stream"))).await);
    let record = server
        .store
        .get(&run)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!((record.outcome, record.cancel_requested), (None, false));
    assert!(server.runs.departing(&run).is_some(), "it is still here");
    server.runs.cancel(&run).await.expect("cancel");
    server.until_ended(&run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_streams_hold_no_connection_to_the_store() {
    const CLIENTS: usize = 200;
    let server = Server::start().await;
    let run = run_id(&send(server.code("wait")).await);
    let path = format!("/v1/runs/{run}/stream");
    let mut idle = Vec::new();
    for _ in 0..CLIENTS {
        let mut chunks = send(server.get(&path)).await.bytes_stream();
        in_time(chunks.next())
            .await
            .expect("a chunk")
            .expect("bytes");
        idle.push(chunks);
    }
    for _ in 0..20 {
        assert!(server.store.get(&run).await.expect("get").is_some());
    }
    server.runs.cancel(&run).await.expect("cancel");
    for mut chunks in idle {
        let last = in_time(chunks.next())
            .await
            .expect("a chunk")
            .expect("bytes");
        assert_eq!(
            data(std::str::from_utf8(&last).expect("text"))[0]["type"],
            "Done"
        );
        assert!(in_time(chunks.next()).await.is_none());
    }
}

#[tokio::test]
async fn runs_are_listed_shown_and_their_patch_downloaded() {
    let server = Server::start().await;
    let response = send(server.code("hello")).await;
    let run = run_id(&response);
    in_time(response.text()).await.expect("a body");
    let record: serde_json::Value =
        serde_json::from_str(&text(server.get(&format!("/v1/runs/{run}"))).await).expect("JSON");
    assert_eq!(
        (&record["outcome"], &record["lastSeq"]),
        (&json!("patch only"), &json!(7))
    );
    let list: serde_json::Value =
        serde_json::from_str(&text(server.get("/v1/runs?limit=5")).await).expect("JSON");
    assert_eq!(list["runs"], json!([record]));
    let patch = send(server.get(&format!("/v1/runs/{run}/patch"))).await;
    assert_eq!(patch.headers()["content-type"], "text/x-diff");
    assert_eq!(patch.headers()["x-content-type-options"], "nosniff");
    let disposition = format!("attachment; filename=\"{run}.patch\"");
    assert_eq!(patch.headers()["content-disposition"], disposition);
    assert_eq!(
        in_time(patch.text()).await.expect("a body"),
        "--- a\n+++ b\n"
    );
    assert_eq!(send(server.get("/healthz")).await.status(), 200);
    assert_eq!(send(server.get("/readyz")).await.status(), 200);
}

#[tokio::test]
async fn a_run_starts_without_a_stream() {
    let server = Server::start().await;
    let response = send(server.post("/v1/runs", &body("hello"))).await;
    assert_eq!(response.status(), 202);
    let run = run_id(&response);
    let answer: serde_json::Value =
        serde_json::from_str(&in_time(response.text()).await.expect("a body")).expect("JSON");
    assert_eq!(answer, json!({ "id": run.0, "joined": false }));
    assert_eq!(
        text(server.get(&format!("/v1/runs/{run}/stream"))).await,
        HELLO
    );
    assert_ne!(run, id(""));
}

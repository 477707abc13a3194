//! A run's events page by page, for those who poll, and requests for headers only.

use pullwright_protocol::{LoggedEvent, RunId};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::server::{Server, data, ids, run_id, send, text};
use crate::support::in_time;

async fn json(request: RequestBuilder) -> Value {
    let response = send(request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let link = response.headers().get("link").cloned();
    let text = in_time(response.text()).await.expect("a body");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(link.is_some(), page["next"].is_u64(), "{page}");
    page
}

fn numbers(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().expect("events").iter();
    events
        .map(|event| event["seq"].as_u64().expect("a number"))
        .collect()
}

async fn ended(server: &Server) -> RunId {
    let run = run_id(&send(server.code("hello")).await);
    server.until_ended(&run).await;
    run
}

#[tokio::test]
async fn pages_hold_the_same_events_as_the_stream() {
    let server = Server::start().await;
    let run = ended(&server).await;
    let path = format!("/v1/runs/{run}/events");
    let stream = text(server.get(&path)).await;
    for limit in [1, 2, 1000] {
        let (mut from, mut seen) = (Some(1), Vec::new());
        while let Some(number) = from {
            let page = server.get(&format!("{path}?from={number}&limit={limit}"));
            let page = json(page.header("Accept", "application/json")).await;
            let events = page["events"].as_array().expect("events").clone();
            assert!(events.len() <= limit);
            seen.extend(events);
            from = page["next"].as_u64();
        }
        assert_eq!(seen, data(&stream), "{limit} at a time");
    }
    let typed: Vec<LoggedEvent> = data(&stream)
        .into_iter()
        .map(|event| serde_json::from_value(event).expect("an event"))
        .collect();
    assert_eq!(typed.len(), ids(&stream).len());
}

#[tokio::test]
async fn a_poller_is_answered_at_once_and_told_where_to_go_on() {
    let server = Server::start().await;
    let run = run_id(&send(server.code("wait")).await);
    let path = format!("/v1/runs/{run}/events");
    let poll = async |from: u64| {
        let request = server.get(&format!("{path}?from={from}"));
        json(request.header("Accept", "application/json")).await
    };
    let first = poll(1).await;
    let seen = numbers(&first).last().copied().unwrap_or_default();
    assert_eq!(first["next"], seen + 1, "it goes on");
    let nothing_new = poll(seen + 1).await;
    assert_eq!(numbers(&nothing_new), [0; 0]);
    assert_eq!(nothing_new["next"], seen + 1);
    server.runs.cancel(&run).await.expect("cancel");
    server.until_ended(&run).await;
    let rest = poll(seen + 1).await;
    assert_eq!(numbers(&rest), [seen + 1]);
    assert_eq!(rest["next"], Value::Null);
    let over = poll(seen + 2).await;
    assert_eq!((numbers(&over).len(), &over["next"]), (0, &Value::Null));
}

#[tokio::test]
async fn what_is_wanted_is_said_by_accept_or_limit() {
    let server = Server::start().await;
    let run = ended(&server).await;
    let path = format!("/v1/runs/{run}/events");
    let table = [
        ("", None, "text/event-stream"),
        ("", Some("*/*"), "text/event-stream"),
        ("", Some("text/event-stream"), "text/event-stream"),
        (
            "",
            Some("application/json, text/event-stream;q=0.5"),
            "text/event-stream",
        ),
        ("", Some("Application/JSON;q=1, */*"), "application/json"),
        ("?limit=5", None, "application/json"),
        ("?limit=5", Some("text/event-stream"), ""),
        ("?limit=0", Some("application/json"), ""),
        ("?limit=1001", Some("application/json"), ""),
        ("?from=99", Some("application/json"), ""),
    ];
    for (query, accept, content_type) in table {
        let request = server.get(&format!("{path}{query}"));
        let request = match accept {
            Some(accept) => request.header("Accept", accept),
            None => request,
        };
        let response = send(request).await;
        let shown = format!("{query} {accept:?}");
        match content_type {
            "" => assert_eq!(response.status(), 400, "{shown}"),
            expected => assert_eq!(response.headers()["content-type"], expected, "{shown}"),
        }
    }
}

#[tokio::test]
async fn headers_alone_follow_and_download_nothing() {
    let server = Server::start().await;
    let done = ended(&server).await;
    let live = run_id(&send(server.code("wait")).await);
    let head = |path: String| server.client.request(Method::HEAD, server.url(&path));
    for (path, content_type) in [
        (format!("/v1/runs/{live}/stream"), "text/event-stream"),
        (format!("/v1/runs/{live}/events"), "text/event-stream"),
        (format!("/v1/runs/{done}/patch"), "text/x-diff"),
        ("/v1/runs".to_owned(), "application/json"),
        ("/openapi.json".to_owned(), "application/json"),
    ] {
        let response = send(head(path.clone())).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], content_type, "{path}");
        let body = in_time(response.bytes()).await.expect("its end");
        assert!(body.is_empty(), "{path}");
    }
    server.access.flush().await;
    let recorded = server.keys.recorded(None, 100).await.expect("the record");
    let recorded = serde_json::to_string(&recorded).expect("JSON");
    assert!(!recorded.contains("patch.downloaded"), "{recorded}");
    let post = send(head("/code".to_owned())).await;
    assert_eq!(post.status(), 405);
}

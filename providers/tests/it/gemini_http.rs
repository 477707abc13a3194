//! The Gemini client against a real server on loopback.

use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::provider::{Delta, StopReason, StreamRequest};
use pullwright_protocol::{FailureKind, Item};
use pullwright_providers::{GeminiConfig, StreamLimits};
use serde_json::{Value, json};
use url::Url;

use crate::client::{self, bounded, deltas, error, in_process, request};
use crate::gemini_stream::{config, event, frames, gemini, open};
use crate::http_server::{Answer, Ending, Server};

fn hello(finish: Option<&str>) -> Vec<u8> {
    frames(&[event(&json!([{ "text": "hello" }]), finish)])
}

fn ask() -> StreamRequest {
    request(vec![Item::user("hi")])
}

#[tokio::test]
async fn many_requests_use_one_connection_and_send_what_the_api_wants() {
    const TURNS: usize = 10;
    let answers = (0..TURNS).map(|_| Answer::stream(hello(Some("STOP"))));
    let server = Server::start(answers.collect()).await;
    let peer = in_process(open(server.url.clone()));
    for _ in 0..TURNS {
        let deltas = deltas(&peer, &ask()).await;
        let started = Delta::Started {
            request_id: Some("r1".into()),
        };
        assert_eq!(deltas[0], started);
        let end = Delta::End {
            stop: StopReason::EndTurn,
            raw: "STOP".into(),
        };
        assert_eq!(deltas.last(), Some(&end));
    }
    assert_eq!(server.connections(), 1);
    let first = server.requests().remove(0);
    let path = "/base/models/gemini-test:streamGenerateContent?alt=sse";
    assert_eq!(first.uri.to_string(), path);
    let header = |name: &str| first.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("x-goog-api-key"), Some("very-secret"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("authorization"), None);
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(body["generationConfig"]["maxOutputTokens"], 1000);
}

#[tokio::test]
async fn a_complete_reply_does_not_wait_for_a_connection_that_stays_open_or_breaks() {
    for ending in [Ending::Hang, Ending::Cut] {
        let answer = Answer {
            ending,
            ..Answer::stream(hello(Some("STOP")))
        };
        let server = Server::start(vec![answer]).await;
        let deltas = deltas(&in_process(open(server.url.clone())), &ask()).await;
        assert!(
            matches!(deltas.last(), Some(Delta::End { .. })),
            "{deltas:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let hang = Answer {
        ending: Ending::Hang,
        ..Answer::stream(hello(None))
    };
    let server = Server::start(vec![hang]).await;
    let limits = StreamLimits {
        idle: Duration::from_millis(20),
        ..StreamLimits::default()
    };
    let config = GeminiConfig {
        limits,
        ..config(server.url.clone())
    };
    let deltas = deltas(&in_process(Arc::new(gemini(config))), &ask()).await;
    let message = "gemini: the API went silent in the middle of a reply for 20ms";
    assert_eq!(error(&deltas).message, message);
    assert!(error(&deltas).retryable);
    bounded(server.client_gone()).await;
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let limits = StreamLimits {
        first_byte: Duration::from_millis(20),
        ..StreamLimits::default()
    };
    let config = GeminiConfig {
        limits,
        ..config(url)
    };
    let deltas = deltas(&in_process(Arc::new(gemini(config))), &ask()).await;
    assert_eq!(
        error(&deltas).message,
        "gemini: the API did not answer for 20ms"
    );
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let hang = Answer {
        ending: Ending::Hang,
        ..Answer::stream(hello(None))
    };
    let server = Server::start(vec![hang]).await;
    let peer = in_process(open(server.url.clone()));
    let mut stream = client::subscribe(&peer, &ask()).await;
    while !matches!(client::next(&mut stream).await, Delta::Text { .. }) {}
    drop(stream);
    bounded(server.client_gone()).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![]).await;
    let mut redirect = Answer::error(307, &json!({}));
    redirect
        .headers
        .push(("location", elsewhere.url.to_string()));
    let server = Server::start(vec![redirect]).await;
    let deltas = deltas(&in_process(open(server.url.clone())), &ask()).await;
    let error = error(&deltas);
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::ProviderRequest, false)
    );
    assert!(
        error.message.contains("redirect (307)"),
        "{}",
        error.message
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn the_key_is_never_shown() {
    let answers = vec![Answer::error(
        401,
        &json!({ "error": { "status": "UNAUTHENTICATED", "message": "no" } }),
    )];
    let server = Server::start(answers).await;
    let provider = gemini(config(server.url.clone()));
    assert!(!format!("{provider:?}").contains("very-secret"));
    let log = client::log(&in_process(Arc::new(provider)), &ask()).await;
    assert!(log.contains("check the key in TEST_KEY"), "{log}");
    assert!(!log.contains("very-secret"), "{log}");
    assert!(!server.requests()[0].uri.to_string().contains("very-secret"));
}

#[tokio::test]
async fn an_endless_error_page_is_cut() {
    let pages = Answer {
        pieces: vec![vec![b'x'; 1024 * 1024]; 64],
        ..Answer::error(502, &json!({}))
    };
    let server = Server::start(vec![pages]).await;
    let deltas = deltas(&in_process(open(server.url.clone())), &ask()).await;
    assert!(error(&deltas).retryable);
    assert!(error(&deltas).message.len() < 3000);
}

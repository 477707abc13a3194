//! The Anthropic client against a real server on loopback.

use std::sync::Arc;
use std::time::Duration;

use pullwright_link::InProcessPeer;
use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_protocol::{FailureKind, Item};
use pullwright_providers::{
    Access, AnthropicConfig, AnthropicMessages, HttpClient, Secret, StreamLimits, Thinking,
};
use serde_json::{Value, json};
use url::Url;

use crate::anthropic_reply::{frames, reply_events, text_block};
use crate::client::{self, bounded, deltas, error, in_process, request};
use crate::http_server::{Answer, Ending, Server};

pub(crate) fn config(base_url: Url) -> AnthropicConfig {
    AnthropicConfig {
        name: "anthropic".into(),
        base_url,
        access: Access::with_key(Secret::new("sk-very-secret"), "TEST_KEY").unwrap(),
        model: "claude-test".into(),
        max_output_tokens: 1000,
        context_tokens: None,
        prices: None,
        compacts: false,
        thinking: Thinking::Adaptive,
        effort: Some("high".into()),
        limits: StreamLimits::default(),
    }
}

pub(crate) fn anthropic(config: AnthropicConfig) -> AnthropicMessages {
    AnthropicMessages::new(config, HttpClient::new().unwrap())
}

pub(crate) fn peer(config: AnthropicConfig) -> InProcessPeer {
    in_process(Arc::new(anthropic(config)))
}

fn good_reply() -> Answer {
    Answer::stream(frames(&reply_events(&text_block(0, "hello"), "end_turn")))
}

fn ask() -> pullwright_protocol::provider::StreamRequest {
    request(vec![Item::user("hi")])
}

#[tokio::test]
async fn many_requests_use_one_connection_and_send_what_the_api_wants() {
    const TURNS: usize = 20;
    let server = Server::start((0..TURNS).map(|_| good_reply()).collect()).await;
    let peer = peer(config(server.url.clone()));
    for _ in 0..TURNS {
        let deltas = deltas(&peer, &ask()).await;
        assert_eq!(
            deltas[0],
            Delta::Started {
                request_id: Some("req_1".into())
            }
        );
        assert_eq!(
            deltas.last(),
            Some(&Delta::End {
                stop: StopReason::EndTurn,
                raw: "end_turn".into()
            })
        );
    }
    assert_eq!(server.connections(), 1);
    let requests = server.requests();
    let first = &requests[0];
    assert_eq!(first.uri.path(), "/base/v1/messages");
    let header = |name: &str| first.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("authorization"), Some("Bearer sk-very-secret"));
    assert_eq!(header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("x-api-key"), None);
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(
        (&body["model"], &body["stream"], &body["max_tokens"]),
        (&json!("claude-test"), &json!(true), &json!(1000))
    );
}

#[tokio::test]
async fn a_cut_stream_is_an_error_worth_a_retry() {
    let bytes = frames(&reply_events(&text_block(0, "hello"), "end_turn"));
    let until_stop = bytes.len() - frames(&[json!({ "type": "message_stop" })]).len();
    for (end, ending) in [
        (until_stop, Ending::Good),
        (until_stop, Ending::Cut),
        (bytes.len() - 1, Ending::Good),
    ] {
        let answer = Answer {
            pieces: vec![bytes[..end].to_vec()],
            ending,
            ..Answer::stream(vec![])
        };
        let server = Server::start(vec![answer]).await;
        let deltas = deltas(&peer(config(server.url.clone())), &ask()).await;
        let error = error(&deltas);
        assert_eq!(
            (error.kind, error.retryable),
            (FailureKind::Transport, true),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn a_complete_reply_does_not_wait_for_what_its_connection_does() {
    for ending in [Ending::Hang, Ending::Cut, Ending::Ping] {
        let answer = Answer {
            ending,
            ..good_reply()
        };
        let server = Server::start(vec![answer]).await;
        let deltas = bounded(deltas(&peer(config(server.url.clone())), &ask())).await;
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
        ..Answer::stream(frames(&text_block(0, "hello")))
    };
    let server = Server::start(vec![hang]).await;
    let idle = Duration::from_millis(20);
    let limits = StreamLimits {
        idle,
        ..StreamLimits::default()
    };
    let peer = peer(AnthropicConfig {
        limits,
        ..config(server.url.clone())
    });
    let deltas = deltas(&peer, &ask()).await;
    assert_eq!(
        error(&deltas).message,
        "anthropic: the API went silent in the middle of a reply for 20ms"
    );
    assert!(error(&deltas).retryable);
    bounded(server.client_gone()).await;
}

#[tokio::test]
async fn a_reply_without_an_end_is_given_up() {
    let piece = frames(&text_block(0, "word "));
    let whole = vec![piece; 100];
    let bytes = whole.concat().len() as u64;
    let answer = || Answer {
        pieces: whole.clone(),
        ending: Ending::Ping,
        ..Answer::stream(vec![])
    };
    let server = Server::start(vec![answer()]).await;
    let limits = StreamLimits {
        bytes: bytes / 2,
        ..StreamLimits::default()
    };
    let peer = peer(AnthropicConfig {
        limits,
        ..config(server.url.clone())
    });
    let deltas = deltas(&peer, &ask()).await;
    let error = error(&deltas);
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::MalformedReply, false)
    );
    assert!(error.message.contains("more than"), "{}", error.message);
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let first_byte = Duration::from_millis(20);
    let limits = StreamLimits {
        first_byte,
        ..StreamLimits::default()
    };
    let deltas = deltas(
        &peer(AnthropicConfig {
            limits,
            ..config(url)
        }),
        &ask(),
    )
    .await;
    assert_eq!(
        error(&deltas).message,
        "anthropic: the API did not answer for 20ms"
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let deltas = deltas(&peer(config(url)), &ask()).await;
    let error = error(&deltas);
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::Transport, true)
    );
    assert!(
        error
            .message
            .starts_with("anthropic: the connection to 127.0.0.1 broke: "),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let hang = Answer {
        ending: Ending::Hang,
        ..Answer::stream(frames(&text_block(0, "hello")))
    };
    let server = Server::start(vec![hang]).await;
    let peer = peer(config(server.url.clone()));
    let mut stream = client::subscribe(&peer, &ask()).await;
    while !matches!(client::next(&mut stream).await, Delta::Item { .. }) {}
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
    let deltas = deltas(&peer(config(server.url.clone())), &ask()).await;
    let error = error(&deltas);
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::ProviderRequest, false)
    );
    assert!(
        error.message.contains("redirect (307)") && error.message.contains("`base_url`"),
        "{}",
        error.message
    );
    assert_eq!(
        (elsewhere.connections(), elsewhere.requests().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn the_key_is_never_shown() {
    let server = Server::start(vec![Answer::error(
        401,
        &json!({ "error": { "type": "authentication_error", "message": "invalid" } }),
    )])
    .await;
    let provider = anthropic(config(server.url.clone()));
    assert!(!format!("{provider:?}").contains("very-secret"));
    let log = client::log(&in_process(Arc::new(provider)), &ask()).await;
    assert!(log.contains("check the key in TEST_KEY"), "{log}");
    assert!(!log.contains("very-secret"), "{log}");
}

#[tokio::test]
async fn an_endless_error_page_is_cut() {
    let pages = Answer {
        pieces: vec![vec![b'x'; 1024 * 1024]; 64],
        ..Answer::error(502, &json!({}))
    };
    let server = Server::start(vec![pages]).await;
    let deltas = deltas(&peer(config(server.url.clone())), &ask()).await;
    assert!(error(&deltas).retryable);
    assert!(error(&deltas).message.len() < 3000);
}

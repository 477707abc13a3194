//! The Ollama client against a real server on loopback, and what its rejections mean.

use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::provider::{Delta, ProviderError, StopReason, StreamRequest};
use pullwright_protocol::{FailureKind, Item};
use pullwright_providers::{Access, OllamaConfig, Secret, StreamLimits};
use serde_json::{Value, json};

use crate::client::{self, bounded, deltas, error, in_process, request};
use crate::http_server::{Answer, Ending, Server};
use crate::ollama_stream::{config, done, lines, ollama, open, said};

fn hello() -> Vec<u8> {
    lines(&[said(&json!({ "content": "hello" })), done("stop")])
}

fn half() -> Answer {
    Answer {
        ending: Ending::Hang,
        ..Answer::stream(lines(&[said(&json!({ "content": "hello" }))]))
    }
}

fn ask() -> StreamRequest {
    request(vec![Item::user("hi")])
}

#[tokio::test]
async fn many_requests_use_one_connection_and_send_what_the_api_wants() {
    const TURNS: usize = 10;
    let answers = (0..TURNS).map(|_| Answer::stream(hello()));
    let server = Server::start(answers.collect()).await;
    let peer = in_process(open(server.url.clone()));
    for _ in 0..TURNS {
        let deltas = deltas(&peer, &ask()).await;
        assert_eq!(deltas[0], Delta::Started { request_id: None });
        let end = Delta::End {
            stop: StopReason::EndTurn,
            raw: "stop".into(),
        };
        assert_eq!(deltas.last(), Some(&end));
    }
    assert_eq!(server.connections(), 1);
    let first = server.requests().remove(0);
    assert_eq!(first.uri.to_string(), "/base/api/chat");
    assert_eq!(first.headers.get("authorization"), None);
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(
        body["options"],
        json!({ "num_ctx": 9000, "num_predict": 1000 })
    );
}

#[tokio::test]
async fn a_complete_reply_does_not_wait_for_a_connection_that_stays_open_or_breaks() {
    for ending in [Ending::Hang, Ending::Cut] {
        let answer = Answer {
            ending,
            ..Answer::stream(hello())
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
    let server = Server::start(vec![half()]).await;
    let limits = StreamLimits {
        idle: Duration::from_millis(20),
        ..StreamLimits::default()
    };
    let config = OllamaConfig {
        limits,
        ..config(server.url.clone())
    };
    let deltas = deltas(&in_process(Arc::new(ollama(config))), &ask()).await;
    let message = "ollama: the API went silent in the middle of a reply for 20ms";
    assert_eq!(error(&deltas).message, message);
    bounded(server.client_gone()).await;
}

#[tokio::test]
async fn cancelling_closes_the_connection() {
    let server = Server::start(vec![half()]).await;
    let peer = in_process(open(server.url.clone()));
    let mut stream = client::subscribe(&peer, &ask()).await;
    while !matches!(client::next(&mut stream).await, Delta::Text { .. }) {}
    drop(stream);
    bounded(server.client_gone()).await;
}

async fn rejected(answer: Answer) -> ProviderError {
    let server = Server::start(vec![answer]).await;
    let deltas = deltas(&in_process(open(server.url.clone())), &ask()).await;
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    error(&deltas).clone()
}

#[tokio::test]
async fn each_rejection_has_its_kind() {
    use FailureKind as K;
    let overflow = r#"{"error":{"code":400,"message":"request (8889 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error"}}"#;
    let cases = [
        (
            400,
            "registry.example/x does not support tools",
            K::ProviderRequest,
            false,
        ),
        (400, overflow, K::ContextOverflow, false),
        (
            500,
            "the input length exceeds the context length",
            K::ContextOverflow,
            false,
        ),
        (401, "unauthorized", K::ProviderAuth, false),
        (402, "upgrade", K::ProviderBudget, false),
        (404, "model 'x' not found", K::ProviderRequest, false),
        (413, "", K::ContextOverflow, false),
        (429, "slow down", K::RateLimited, true),
        (
            500,
            "model requires more system memory (9 GiB) than is available (4 GiB)",
            K::ProviderRequest,
            false,
        ),
        (
            500,
            "error parsing tool call: raw='{\"a\"'",
            K::MalformedReply,
            true,
        ),
        (
            500,
            "llama runner process has terminated",
            K::Transport,
            true,
        ),
        (502, "", K::Transport, true),
        (
            503,
            "server busy, please try again.  maximum pending requests exceeded",
            K::Overloaded,
            true,
        ),
    ];
    for (status, said, kind, retryable) in cases {
        let error = rejected(Answer::error(status, &json!({ "error": said }))).await;
        assert_eq!(
            (error.kind, error.retryable),
            (kind, retryable),
            "{status} {said}"
        );
        assert!(error.message.contains(said), "{}", error.message);
    }
}

#[tokio::test]
async fn a_wait_and_a_page_that_is_no_json_are_read() {
    let mut answer = Answer::error(429, &json!({}));
    answer.pieces = vec![b"too many".to_vec()];
    answer.headers.push(("retry-after", "3".into()));
    let error = rejected(answer).await;
    assert_eq!(error.retry_after_ms, Some(3000));
    assert_eq!(error.message, "ollama: the API answered 429: too many");
}

#[tokio::test]
async fn a_key_is_sent_to_a_server_that_wants_one_and_never_shown() {
    let refusal = json!({ "error": "unauthorized" });
    let server = Server::start(vec![Answer::error(401, &refusal)]).await;
    let provider = ollama(OllamaConfig {
        access: Access::with_key(Secret::new("very-secret"), "TEST_KEY").unwrap(),
        ..config(server.url.clone())
    });
    assert!(!format!("{provider:?}").contains("very-secret"));
    let log = client::log(&in_process(Arc::new(provider)), &ask()).await;
    assert!(log.contains("check the key in TEST_KEY"), "{log}");
    assert!(!log.contains("very-secret"), "{log}");
    let header = &server.requests()[0].headers["authorization"];
    assert_eq!(header.to_str().unwrap(), "Bearer very-secret");
    let error = rejected(Answer::error(401, &refusal)).await;
    let message = "ollama: the API answered 401: unauthorized; check the key in `env_key`, which this row does not set";
    assert_eq!(error.message, message);
}

//! Answers that are a success by their status and no stream: errors, whole replies, pages, nothing.

use std::sync::Arc;

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{FailureKind, Item};
use pullwright_providers::{Provider, ProviderSettings, open};
use serde_json::{Value, json};
use url::Url;

use crate::client::{deltas, error, in_process, request};
use crate::http_server::{Answer, Server};
use crate::{anthropic_recordings, gemini_stream, ollama_stream, openai_stream};

type Open = fn(Url) -> Arc<dyn Provider>;

const WIRES: [(&str, Open); 5] = [
    ("anthropic", anthropic_recordings::open),
    ("chat", openai_stream::open_chat),
    ("gemini", gemini_stream::open),
    ("ollama", ollama_stream::open),
    ("responses", openai_stream::open_responses),
];

fn answer(media_type: &str, body: &str, piece: usize) -> Answer {
    Answer {
        headers: vec![("content-type", media_type.to_owned())],
        pieces: body.as_bytes().chunks(piece).map(<[u8]>::to_vec).collect(),
        ..Answer::stream(vec![])
    }
}

/// What becomes of a body, however it is cut.
async fn failure_of(
    open: Open,
    ask: &StreamRequest,
    media_type: &str,
    body: &str,
) -> ProviderError {
    let cuttings = [usize::MAX, 1, 7].map(|piece| answer(media_type, body, piece));
    let server = Server::start(cuttings.into()).await;
    let peer = in_process(open(server.url.clone()));
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(error(&deltas(&peer, ask).await).clone());
    }
    assert!(
        errors.iter().all(|error| *error == errors[0]),
        "{errors:#?}"
    );
    errors.remove(0)
}

fn ask() -> StreamRequest {
    request(vec![Item::user("hi")])
}

fn compact() -> StreamRequest {
    StreamRequest {
        compact: true,
        ..ask()
    }
}

#[tokio::test]
async fn a_page_is_named_and_its_beginning_shown() {
    let page = "\n<!doctype html>\n<html><title>Sign in to the airport</title>\n\u{1b}[2Jdata: x\n\n</html>\n";
    let asks = WIRES.map(|(name, open)| (name, open, ask()));
    let all = asks
        .into_iter()
        .chain([("compaction", WIRES[4].1, compact())]);
    for (name, open, ask) in all {
        let error = failure_of(open, &ask, "text/html; charset=utf-8", page).await;
        let seen = (error.kind, error.retryable);
        assert_eq!(
            seen,
            (FailureKind::Transport, true),
            "{name}: {}",
            error.message
        );
        let message = &error.message;
        let expected = "the API answered 200 with text/html instead of a reply; check `base_url`, and what stands \
                        between: <!doctype html> <html><title>Sign in to the airport</title> [2Jdata: x";
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[tokio::test]
async fn nothing_at_all_is_said_to_be_that() {
    for (name, open) in WIRES {
        for body in ["", "\n\n"] {
            let error = failure_of(open, &ask(), "text/event-stream", body).await;
            let seen = (error.kind, error.retryable);
            assert_eq!(seen, (FailureKind::Transport, true), "{name}");
            let message = &error.message;
            assert!(message.contains("said nothing at all"), "{name}: {message}");
        }
    }
}

#[tokio::test]
async fn a_whole_reply_is_one_of_a_service_that_cannot_stream() {
    let whole = [
        json!({ "type": "message", "content": [{ "type": "text", "text": "a word" }] }),
        json!({ "object": "chat.completion", "choices": [{ "message": { "content": "a word" } }] }),
        json!({ "candidates": [{ "content": { "parts": [{ "text": "a word" }] } }] }),
        json!({ "message": { "content": "a word" }, "done": true }),
        json!({ "object": "response", "output": [], "error": null }),
    ];
    for ((name, open), whole) in WIRES.into_iter().zip(whole) {
        // In one line that is a line of Ollama's stream.
        let long = json!({ "whole": whole, "zpadding": "x".repeat(100_000) });
        for body in [&whole, &long].map(|body| serde_json::to_string_pretty(body).unwrap()) {
            let error = failure_of(open, &ask(), "application/json", &body).await;
            let seen = (error.kind, error.retryable);
            let message = &error.message;
            assert_eq!(
                seen,
                (FailureKind::ProviderRequest, false),
                "{name}: {message}"
            );
            assert!(message.contains("instead of a stream"), "{name}: {message}");
        }
    }
}

#[tokio::test]
async fn an_error_counts_as_it_would_with_its_status() {
    let cases: [(usize, Value, FailureKind, bool); 17] = [
        (
            0,
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "why" } }),
            FailureKind::Overloaded,
            true,
        ),
        (
            0,
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "why" } }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            0,
            json!({ "type": "error", "error": { "type": "authentication_error", "message": "why" } }),
            FailureKind::ProviderAuth,
            false,
        ),
        (
            1,
            json!({ "error": { "message": "why", "type": "invalid_request_error", "code": "model_not_found" } }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            1,
            json!({ "error": { "message": "why", "type": "not_found_error" } }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            1,
            json!({ "error": { "message": "why", "type": "permission_error" } }),
            FailureKind::ProviderAuth,
            false,
        ),
        (
            1,
            json!({ "error": { "message": "why", "code": "insufficient_quota" } }),
            FailureKind::ProviderBudget,
            false,
        ),
        (
            1,
            json!({ "error": { "message": "why", "code": 429 } }),
            FailureKind::RateLimited,
            true,
        ),
        (
            1,
            json!({ "object": "error", "message": "why", "code": 503 }),
            FailureKind::Overloaded,
            true,
        ),
        (1, json!({ "error": "why" }), FailureKind::Transport, true),
        (
            1,
            json!({ "status": "busy", "msg": "why", "choices": null }),
            FailureKind::Transport,
            true,
        ),
        (
            1,
            json!({ "choices": null, "base_resp": { "status_code": 1002, "status_msg": "why" } }),
            FailureKind::Transport,
            true,
        ),
        (1, json!({ "detail": "why" }), FailureKind::Transport, true),
        (
            2,
            json!([{ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "why" } }]),
            FailureKind::RateLimited,
            true,
        ),
        (
            2,
            json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": "why" } }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            3,
            json!({ "error": "why: exceeds the context length" }),
            FailureKind::ContextOverflow,
            false,
        ),
        (
            4,
            json!({ "error": { "message": "why", "type": "rate_limit_error" } }),
            FailureKind::RateLimited,
            true,
        ),
    ];
    for (wire, body, kind, retryable) in cases {
        let (name, open) = WIRES[wire];
        for body in [
            body.to_string(),
            serde_json::to_string_pretty(&body).unwrap(),
        ] {
            let error = failure_of(open, &ask(), "application/json", &body).await;
            let message = &error.message;
            assert_eq!(
                (error.kind, error.retryable),
                (kind, retryable),
                "{name}: {body}: {message}"
            );
            assert!(message.contains("why"), "{name}: {message}");
        }
    }
    let body = json!({ "error": { "message": "why", "type": "rate_limit_error" } }).to_string();
    let error = failure_of(WIRES[4].1, &compact(), "application/json", &body).await;
    assert_eq!(error.kind, FailureKind::RateLimited, "{}", error.message);
}

#[tokio::test]
async fn a_key_in_such_an_answer_is_hidden_and_one_that_is_refused_is_fetched_anew() {
    const KEY: &str = "sk-abcdefghijklmnopqrstuvwxyz";
    let refusal =
        json!({ "error": { "code": "invalid_api_key", "message": format!("not {KEY}") } });
    let page = |place: usize| format!("<p>{}{KEY}{}", "x".repeat(place), "y".repeat(64 * 1024));
    let chunks = [openai_stream::chunk(
        &json!({ "content": "a" }),
        Some("stop"),
    )];
    let good = || Answer::stream(openai_stream::done(&chunks));
    let pages = [1980, 1990, 65_520, 65_530].map(|place| answer("text/html", &page(place), 9999));
    let answers = [
        good(),
        answer("application/json", &refusal.to_string(), 10),
        good(),
    ];
    let server = Server::start(answers.into_iter().chain(pages).collect()).await;
    let row = ProviderSettings {
        name: "mine".into(),
        wire_api: "openai_chat".into(),
        base_url: Some(server.url.clone()),
        model: Some("m".into()),
        key_command: ["echo", KEY].map(str::to_owned).to_vec(),
        ..ProviderSettings::default()
    };
    let peer = in_process(open(row, |_| None).unwrap());
    deltas(&peer, &ask()).await;
    let refused = deltas(&peer, &ask()).await;
    let refused = error(&refused);
    assert_eq!(
        (refused.kind, refused.retryable),
        (FailureKind::ProviderAuth, true)
    );
    assert!(
        refused.message.contains("not [hidden]"),
        "{}",
        refused.message
    );
    deltas(&peer, &ask()).await;
    for _ in 0..4 {
        let deltas = deltas(&peer, &ask()).await;
        let message = &error(&deltas).message;
        assert!(
            message.contains("text/html") && !message.contains("sk-"),
            "{message}"
        );
        assert!(message.len() < 3000);
    }
}

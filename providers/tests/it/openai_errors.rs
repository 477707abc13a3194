//! What each rejection of the APIs in the form of OpenAI's means.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{FailureKind, Item};
use serde_json::{Value, json};

use crate::client::{deltas, error, in_process, request};
use crate::http_server::{Answer, Server};
use crate::openai_stream::{open_chat, open_responses};
use crate::recordings::{files, json};

async fn rejected(answer: Answer) -> ProviderError {
    let server = Server::start(vec![answer]).await;
    let peer = in_process(open_chat(server.url.clone()));
    let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    error(&deltas).clone()
}

/// The recordings of services in this form.
fn recorded() -> Vec<std::path::PathBuf> {
    const OTHERS: [&str; 4] = ["anthropic", "gemini", "bedrock", "cohere"];
    files("errors", |name| {
        !OTHERS.iter().any(|other| name.contains(other))
    })
}

#[tokio::test]
async fn recorded_rejections_are_told_apart() {
    use FailureKind as K;
    for path in recorded() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let recorded = json(&path);
        let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
        let response = &recorded["response"];
        let error = rejected(Answer::error(status, response)).await;
        let is_auth = ["auth", "key", "unauthorized", "handshake"]
            .iter()
            .any(|word| name.contains(word));
        let expected = match status {
            _ if is_auth => (K::ProviderAuth, false),
            429 => (K::RateLimited, true),
            400 if name.contains("tool_use_failed") => (K::MalformedReply, true),
            400 if name.contains("thinking_with_modified_history") => (K::ReasoningRejected, false),
            _ => (K::ProviderRequest, false),
        };
        assert_eq!(
            (error.kind, error.retryable),
            expected,
            "{name}: {}",
            error.message
        );
        let said = ["/error/message", "/error", "/message", "/detail"]
            .iter()
            .find_map(|path| response.pointer(path)?.as_str());
        assert!(
            error.message.contains(said.unwrap()),
            "{name}: {}",
            error.message
        );
    }
}

fn body(message: &str, kind: Value, code: Value) -> Value {
    json!({ "error": { "message": message, "type": kind, "code": code } })
}

#[tokio::test]
async fn each_rejection_has_its_kind() {
    use FailureKind as K;
    let plain = |message: &str| body(message, Value::Null, Value::Null);
    let cases = [
        (
            429,
            body(
                "You exceeded your current quota",
                json!("insufficient_quota"),
                json!("insufficient_quota"),
            ),
            K::ProviderBudget,
            false,
        ),
        (402, plain("Insufficient Balance"), K::ProviderBudget, false),
        (
            400,
            body(
                "The encrypted content gAAA could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
                json!("invalid_request_error"),
                json!("invalid_encrypted_content"),
            ),
            K::ReasoningRejected,
            false,
        ),
        (
            400,
            plain(
                "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.",
            ),
            K::ReasoningRejected,
            false,
        ),
        (
            400,
            plain(
                "Provider returned error: messages.1.content.0: Invalid `signature` in `thinking` block",
            ),
            K::ReasoningRejected,
            false,
        ),
        (
            429,
            body("slow", json!("requests"), json!("rate_limit_exceeded")),
            K::RateLimited,
            true,
        ),
        (
            429,
            plain("Daily token limit reached"),
            K::RateLimited,
            true,
        ),
        (
            429,
            json!({ "error": { "message": "no", "code": "insufficient_quota", "metadata": null } }),
            K::ProviderBudget,
            false,
        ),
        (503, plain("busy"), K::Overloaded, true),
        (529, plain("busy"), K::Overloaded, true),
        (500, plain("oops"), K::Transport, true),
        (524, plain("a proxy gave up"), K::Transport, true),
        (401, plain("who?"), K::ProviderAuth, false),
        (404, plain("no such model"), K::ProviderRequest, false),
        (413, plain("Request too large"), K::ContextOverflow, false),
        (
            400,
            body("too long", Value::Null, json!("context_length_exceeded")),
            K::ContextOverflow,
            false,
        ),
        (
            400,
            json!({ "error": { "code": 400, "type": "exceed_context_size_error", "message": "request (9000 tokens) exceeds", "n_ctx": 8192, "n_prompt_tokens": 9000 } }),
            K::ContextOverflow,
            false,
        ),
        (
            400,
            plain(
                "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages, 4000 in the completion).",
            ),
            K::ContextOverflow,
            false,
        ),
        (
            400,
            plain("Please reduce the length of the messages or completion."),
            K::ContextOverflow,
            false,
        ),
        (
            400,
            plain(
                "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
            ),
            K::ContextOverflow,
            false,
        ),
        // A reply limit that is too large by itself is not mended by compaction; one that does not fit
        // beside the conversation is.
        (
            400,
            plain(
                "max_tokens is too large: 200000. This model supports at most 128000 completion tokens.",
            ),
            K::ProviderRequest,
            false,
        ),
        (
            400,
            plain(
                "'max_tokens' or 'max_completion_tokens' is too large: 40000. This model's maximum context length is 32768 tokens and your request has 12 input tokens (40000 > 32768 - 12).",
            ),
            K::ProviderRequest,
            false,
        ),
        (
            400,
            plain(
                "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 32768 tokens and your request has 30000 input tokens (8192 > 32768 - 30000).",
            ),
            K::ContextOverflow,
            false,
        ),
        (
            403,
            json!({ "error": { "code": 403, "message": "Input was flagged", "metadata": { "reasons": ["violence"] } } }),
            K::ProviderRequest,
            false,
        ),
    ];
    for (status, body, kind, retryable) in cases {
        let error = rejected(Answer::error(status, &body)).await;
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{body}");
        assert!(!error.message.contains("very-secret"), "{}", error.message);
    }
}

#[tokio::test]
async fn the_words_may_say_how_long_to_wait() {
    let cases = [
        (
            "Rate limit reached. Please try again in 1m2.5s.",
            Some(62_500),
        ),
        ("Please try again in 20ms. Visit us", Some(20)),
        ("Please try again in 2 minutes", Some(120_000)),
        ("Please try again in a moment", None),
        ("Please try again in 99999999999999999999999h", None),
        ("Please retry shortly", None),
    ];
    for (message, wait) in cases {
        let body = body(message, Value::Null, Value::Null);
        let error = rejected(Answer::error(429, &body)).await;
        assert_eq!(error.retry_after_ms, wait, "{message}");
    }
    let mut answer = Answer::error(429, &body("try again in 5s", Value::Null, Value::Null));
    answer.headers.push(("retry-after", "3".into()));
    assert_eq!(rejected(answer).await.retry_after_ms, Some(3000));
}

#[tokio::test]
async fn the_date_when_a_limit_is_lifted_is_a_wait_too() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let cases = [
        ("20".to_owned(), 20_000..=20_000),
        ((now.as_secs() + 20).to_string(), 10_000..=20_000),
        ((now.as_millis() + 20_000).to_string(), 10_000..=20_000),
        ((now.as_secs() - 20).to_string(), 0..=0),
    ];
    let answer = |status, reset: &str| {
        let mut answer = Answer::error(status, &body("slow down", Value::Null, Value::Null));
        let reset = ("x-ratelimit-reset", reset.to_owned());
        answer.headers.push(reset);
        answer
    };
    for (reset, wait) in cases {
        let error = rejected(answer(429, &reset)).await;
        let asked = error.retry_after_ms.unwrap();
        assert!(wait.contains(&asked), "{reset}: {asked}");
    }
    for reset in ["", "soon", "-1", "NaN", "1e300"] {
        assert_eq!(
            rejected(answer(429, reset)).await.retry_after_ms,
            None,
            "{reset}"
        );
    }
    // Services send it with every answer.
    assert_eq!(rejected(answer(500, "20")).await.retry_after_ms, None);
}

#[tokio::test]
async fn a_failed_response_is_told_at_once() {
    let cases = [
        (
            json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "server_error", "message": "boom" } } }),
            FailureKind::Transport,
            true,
        ),
        (
            json!({ "type": "response.failed", "response": { "error": { "code": "rate_limit_exceeded", "message": "Please try again in 7s." } } }),
            FailureKind::RateLimited,
            true,
        ),
        (
            json!({ "type": "error", "code": "context_length_exceeded", "message": "Your input exceeds the context window of this model.", "param": "input" }),
            FailureKind::ContextOverflow,
            false,
        ),
        (
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no" } }),
            FailureKind::ProviderRequest,
            false,
        ),
    ];
    for (event, kind, retryable) in cases {
        let frame = format!("event: x\ndata: {event}\n\n").into_bytes();
        // The connection stays open, and yet nobody waits for it.
        let answer = Answer {
            ending: crate::http_server::Ending::Hang,
            ..Answer::stream(frame)
        };
        let server = Server::start(vec![answer]).await;
        let peer = in_process(open_responses(server.url.clone()));
        let asked = request(vec![Item::user("hi")]);
        let reply = deltas(&peer, &asked);
        let deltas = tokio::time::timeout(Duration::from_secs(60), reply)
            .await
            .unwrap();
        let error = error(&deltas);
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{event}");
    }
}

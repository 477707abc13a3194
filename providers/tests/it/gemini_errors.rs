//! What each rejection of Gemini means.

use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{FailureKind, Item};
use serde_json::{Value, json};

use crate::client::{deltas, error, in_process, request};
use crate::gemini_stream::open;
use crate::http_server::{Answer, Server};
use crate::recordings::{files, json};

async fn rejected(answer: Answer) -> ProviderError {
    let server = Server::start(vec![answer]).await;
    let peer = in_process(open(server.url.clone()));
    let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    error(&deltas).clone()
}

fn body(code: u16, status: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message, "status": status } })
}

#[tokio::test]
async fn recorded_rejections_are_told_apart() {
    for path in files("errors", |name| name.contains("gemini")) {
        let recorded = json(&path);
        let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
        let response = &recorded["response"];
        let error = rejected(Answer::error(status, response)).await;
        let kind = match status {
            403 => FailureKind::ProviderAuth,
            // A wrong key is a bad argument to this API.
            400 => FailureKind::ProviderAuth,
            _ => FailureKind::ProviderRequest,
        };
        assert_eq!(
            (error.kind, error.retryable),
            (kind, false),
            "{}",
            path.display()
        );
        let said = response["error"]["message"].as_str().unwrap();
        assert!(
            error.message.contains(said),
            "{}: {}",
            path.display(),
            error.message
        );
    }
}

#[tokio::test]
async fn each_status_has_its_kind() {
    use FailureKind as K;
    let cases = [
        (
            400,
            "INVALID_ARGUMENT",
            "Invalid value at 'contents'",
            K::ProviderRequest,
            false,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1300000) exceeds the maximum number of tokens allowed (1048576).",
            K::ContextOverflow,
            false,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Request payload size exceeds the limit: 20971520 bytes.",
            K::ContextOverflow,
            false,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Unable to submit request because it has a maxOutputTokens value of 900000 but the supported range is from 1 to 65537",
            K::ProviderRequest,
            false,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "Please enable billing on your project in Google AI Studio.",
            K::ProviderBudget,
            false,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Function call is missing a thought_signature in functionCall parts.",
            K::ReasoningRejected,
            false,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Corrupted thought signature.",
            K::ReasoningRejected,
            false,
        ),
        (401, "UNAUTHENTICATED", "no", K::ProviderAuth, false),
        (403, "PERMISSION_DENIED", "no", K::ProviderAuth, false),
        (
            404,
            "NOT_FOUND",
            "models/x is not found",
            K::ProviderRequest,
            false,
        ),
        (413, "", "", K::ContextOverflow, false),
        (429, "RESOURCE_EXHAUSTED", "quota", K::RateLimited, true),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "Your prepayment credits are depleted.",
            K::ProviderBudget,
            false,
        ),
        (499, "CANCELLED", "", K::Transport, true),
        (500, "INTERNAL", "", K::Transport, true),
        (502, "", "", K::Transport, true),
        (
            503,
            "UNAVAILABLE",
            "The model is overloaded.",
            K::Overloaded,
            true,
        ),
        (504, "DEADLINE_EXCEEDED", "", K::Transport, true),
    ];
    for (status, name, message, kind, retryable) in cases {
        let object = body(status, name, message);
        for answer in [object.clone(), json!([object])] {
            let error = rejected(Answer::error(status, &answer)).await;
            assert_eq!(
                (error.kind, error.retryable),
                (kind, retryable),
                "{status} {message}"
            );
            assert!(error.message.contains(message), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn a_page_that_is_no_json_is_shown() {
    let page = Answer {
        pieces: vec![b"<html>bad gateway</html>".to_vec()],
        ..Answer::error(502, &json!({}))
    };
    let error = rejected(page).await;
    assert_eq!(
        error.message,
        "gemini: the API answered 502: <html>bad gateway</html>"
    );
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::Transport, true)
    );
}

#[tokio::test]
async fn the_wait_is_read_from_the_details_and_else_from_the_header() {
    let detail = |delay: Value| {
        json!([
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{ "quotaValue": "20" }] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay },
        ])
    };
    let cases = [
        (detail(json!("36s")), None, Some(36_000)),
        (detail(json!("0.25s")), Some("9"), Some(250)),
        (detail(json!("soon")), Some("9"), Some(9000)),
        (json!(null), Some("9"), Some(9000)),
        (json!(null), None, None),
    ];
    for (details, header, expected) in cases {
        let mut limited = body(429, "RESOURCE_EXHAUSTED", "quota");
        limited["error"]["details"] = details;
        let mut answer = Answer::error(429, &limited);
        answer
            .headers
            .extend(header.map(|value| ("retry-after", value.to_owned())));
        let error = rejected(answer).await;
        assert_eq!(
            (error.kind, error.retry_after_ms),
            (FailureKind::RateLimited, expected)
        );
    }
}

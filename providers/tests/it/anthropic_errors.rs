//! What each rejection means.

use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{FailureKind, Item};
use serde_json::{Value, json};

use crate::anthropic_http::{config, peer};
use crate::client::{deltas, error, request};
use crate::http_server::{Answer, Server};
use crate::recordings::{files, json};

async fn rejected(answer: Answer) -> ProviderError {
    let server = Server::start(vec![answer]).await;
    let deltas = deltas(
        &peer(config(server.url.clone())),
        &request(vec![Item::user("hi")]),
    )
    .await;
    assert_eq!(deltas.len(), 1, "{deltas:?}");
    error(&deltas).clone()
}

fn body(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_9" })
}

#[tokio::test]
async fn recorded_rejections_are_told_apart() {
    for path in files("errors", |name| name.contains("anthropic")) {
        let recorded = json(&path);
        let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
        let response = &recorded["response"];
        let error = rejected(Answer::error(status, response)).await;
        let kind = match status {
            401 => FailureKind::ProviderAuth,
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
            "invalid_request_error",
            "messages: field required",
            K::ProviderRequest,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            K::ContextOverflow,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            K::ContextOverflow,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "max_tokens: 500000 > 128000, which is the maximum allowed number of output tokens",
            K::ProviderRequest,
            false,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the API",
            K::ProviderBudget,
            false,
        ),
        (401, "authentication_error", "no", K::ProviderAuth, false),
        (402, "billing_error", "no", K::ProviderBudget, false),
        (403, "permission_error", "no", K::ProviderAuth, false),
        (
            404,
            "not_found_error",
            "model: x",
            K::ProviderRequest,
            false,
        ),
        (408, "", "", K::Transport, true),
        (409, "conflict_error", "", K::Transport, true),
        (413, "request_too_large", "", K::ContextOverflow, false),
        (429, "rate_limit_error", "slow down", K::RateLimited, true),
        (500, "api_error", "", K::Transport, true),
        (502, "", "", K::Transport, true),
        (503, "", "", K::Overloaded, true),
        (504, "timeout_error", "", K::Transport, true),
        (529, "overloaded_error", "Overloaded", K::Overloaded, true),
    ];
    for (status, name, message, kind, retryable) in cases {
        let error = rejected(Answer::error(status, &body(name, message))).await;
        assert_eq!(
            (error.kind, error.retryable),
            (kind, retryable),
            "{status} {message}"
        );
        assert!(
            error.message.contains("(request req_9)"),
            "{}",
            error.message
        );
    }
}

/// By hand, for want of a recording: preserved thinking that comes back in another conversation, from another
/// account, changed, or not at all.
#[tokio::test]
async fn thinking_that_is_not_taken_back_has_a_kind_of_its_own() {
    let rejections = [
        "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation",
        "messages.5.content.2: Invalid `signature` in `thinking` block",
        "messages.1.content.0.thinking.signature: Field required",
        "messages.1.content.18: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. These blocks must remain as they were in the original response.",
        "messages.3.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final assistant message must start with a thinking block",
    ];
    for message in rejections {
        let rejection = body("invalid_request_error", message);
        let error = rejected(Answer::error(400, &rejection)).await;
        assert_eq!(
            (error.kind, error.retryable),
            (FailureKind::ReasoningRejected, false),
            "{message}"
        );
        assert!(error.message.contains(message), "{}", error.message);
        let event = crate::anthropic_reply::frames(&[rejection]);
        let error = crate::anthropic_reply::play(&event, usize::MAX).error;
        assert_eq!(error.unwrap().kind, FailureKind::ReasoningRejected);
    }
    // What is wrong with the request stays so without any reasoning.
    let settings = [
        "thinking.budget_tokens: Input should be greater than or equal to 1024",
        "`thinking` is not supported by this model",
    ];
    for message in settings {
        let rejection = body("invalid_request_error", message);
        let error = rejected(Answer::error(400, &rejection)).await;
        assert_eq!(error.kind, FailureKind::ProviderRequest, "{message}");
    }
}

#[tokio::test]
async fn the_wait_is_read_in_all_its_spellings() {
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(Headers, Option<u64>); 6] = [
        (&[("retry-after", "3")], Some(3000)),
        (&[("retry-after", "0.5")], Some(500)),
        (
            &[("retry-after", "3"), ("retry-after-ms", "120")],
            Some(120),
        ),
        (&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")], Some(0)),
        (&[("retry-after", "soon")], None),
        (&[], None),
    ];
    for (headers, expected) in cases {
        let mut answer = Answer::error(429, &body("rate_limit_error", "slow down"));
        answer.headers.extend(
            headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let error = rejected(answer).await;
        assert_eq!(
            (error.kind, error.retry_after_ms),
            (FailureKind::RateLimited, expected)
        );
    }
}

#[tokio::test]
async fn the_api_may_overrule_whether_to_retry() {
    for (status, said, retryable) in [(529, "false", false), (400, "true", true)] {
        let mut answer = Answer::error(status, &body("some_error", ""));
        answer.headers.push(("x-should-retry", said.into()));
        assert_eq!(rejected(answer).await.retryable, retryable);
    }
}

#[tokio::test]
async fn a_spend_limit_is_not_retried_whatever_else_is_said() {
    let mut limit = body("rate_limit_error", "limit reached");
    limit["error"]["details"] = json!({ "error_code": "enforced_spend_limit_reached" });
    let mut answer = Answer::error(429, &limit);
    answer.headers.push(("x-should-retry", "true".into()));
    let error = rejected(answer).await;
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::ProviderBudget, false)
    );
}

//! What a rejection means: try again, wait, mend something, or give up.

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;

use super::event::ErrorBody;
use crate::exchange::{Refused, Rejection, header, retry_after};
use crate::rejected_reasoning::is_rejected_reasoning;

/// A 429 with this code is not about speed: the account's limit is used up.
const SPEND_LIMIT_CODE: &str = "enforced_spend_limit_reached";

/// The error that an HTTP error answer means. `key_source` is where the key came from.
pub(super) fn of_response(answer: &Refused, provider: &str, key_source: &str) -> ProviderError {
    let body = ErrorBody::read(&answer.body);
    let (kind, retryable) = body.classify(Some(answer.status));
    let should_retry = header(&answer.headers, "x-should-retry").and_then(|text| text.parse().ok());
    let rejection = Rejection {
        status: Some(answer.status),
        kind,
        retryable: match should_retry {
            Some(said) if kind != FailureKind::ProviderBudget => said,
            _ => retryable,
        },
        retry_after: retry_after(&answer.headers),
        ..body.rejection()
    };
    rejection.into_error(provider, key_source)
}

/// The error for a reply that an event breaks off.
pub(super) fn in_stream(event: &[u8], provider: &str, key_source: &str) -> ProviderError {
    let body = ErrorBody::read(event);
    body.rejection().into_error(provider, key_source)
}

impl ErrorBody {
    /// What does not name an error in the API's own form is its message as a whole.
    fn read(body: &[u8]) -> Self {
        let mut read: Self = serde_json::from_slice(body).unwrap_or_default();
        if read.error.kind.is_empty() && read.error.message.is_empty() {
            read.error.message = String::from_utf8_lossy(body).trim().to_owned();
        }
        read
    }

    /// Without an answer's head.
    fn rejection(&self) -> Rejection<'_> {
        let (kind, retryable) = self.classify(None);
        Rejection {
            status: None,
            code: &self.error.kind,
            said: &self.error.message,
            request_id: self.request_id.as_deref(),
            kind,
            retryable,
            retry_after: None,
        }
    }

    fn classify(&self, status: Option<u16>) -> (FailureKind, bool) {
        if self.is_out_of_money(status) {
            return (FailureKind::ProviderBudget, false);
        }
        if self.is_overflow(status) {
            return (FailureKind::ContextOverflow, false);
        }
        if is_rejected_reasoning(status, &self.error.message) {
            return (FailureKind::ReasoningRejected, false);
        }
        match (self.error.kind.as_str(), status) {
            ("authentication_error" | "permission_error", _) | (_, Some(401 | 403)) => {
                (FailureKind::ProviderAuth, false)
            }
            ("rate_limit_error", _) | (_, Some(429)) => (FailureKind::RateLimited, true),
            ("overloaded_error", _) | (_, Some(503 | 529)) => (FailureKind::Overloaded, true),
            ("api_error" | "timeout_error", _) | (_, Some(408 | 409 | 500..)) | ("", None) => {
                (FailureKind::Transport, true)
            }
            _ => (FailureKind::ProviderRequest, false),
        }
    }

    fn is_out_of_money(&self, status: Option<u16>) -> bool {
        let error = &self.error;
        status == Some(402)
            || error.kind == "billing_error"
            || error.code().as_deref() == Some(SPEND_LIMIT_CODE)
            || error.message.contains("credit balance is too low")
    }

    /// A `max_tokens` above the model's own limit is not one: compaction would not mend it.
    fn is_overflow(&self, status: Option<u16>) -> bool {
        const TEXTS: [&str; 3] = [
            "prompt is too long",
            "exceed context limit",
            "exceeds the context window",
        ];
        let message = &self.error.message;
        status == Some(413)
            || self.error.kind == "request_too_large"
            || TEXTS.iter().any(|text| message.contains(text))
    }
}

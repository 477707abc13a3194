//! What a rejection means: try again, wait, mend something, or give up.

use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use serde_json::Value;

use crate::exchange::{Refused, Rejection, retry_after};
use crate::rejected_reasoning::is_rejected_reasoning;

/// The API's error object, in the stream or in the body of a rejection.
#[derive(Debug, Default)]
struct ErrorObject {
    code: Option<u16>,
    status: String,
    message: String,
    details: Vec<Detail>,
}

/// One of `google.rpc`'s details; those we do not know have none of these fields.
#[derive(Debug)]
struct Detail {
    reason: Option<String>,
    retry_delay: Option<String>,
}

/// The error for a rejected request.
pub(super) fn of_response(answer: &Refused, provider: &str, key_source: &str) -> ProviderError {
    let object = ErrorObject::in_body(&answer.body);
    let wait = retry_after(&answer.headers);
    object.into_error(Some(answer.status), wait, provider, key_source)
}

/// The error for a reply that was broken off.
pub(super) fn in_stream(event: &[u8], provider: &str, key_source: &str) -> ProviderError {
    let object = ErrorObject::in_body(event);
    object.into_error(None, None, provider, key_source)
}

impl ErrorObject {
    /// An event, or the body of a rejection: an object, or a list of one.
    fn in_body(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        match value.get("error").or(value[0].get("error")) {
            Some(error) if !error.is_null() => Self::of(error),
            _ => Self::saying(String::from_utf8_lossy(body).trim()),
        }
    }

    /// A service that copied the API may say it in a sentence.
    fn of(error: &Value) -> Self {
        if !error.is_object() {
            return Self::saying(error.as_str().unwrap_or(&error.to_string()));
        }
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let details = error["details"].as_array();
        Self {
            code: error["code"].as_u64().and_then(|code| code.try_into().ok()),
            status: text("status"),
            message: text("message"),
            details: details.into_iter().flatten().map(Detail::of).collect(),
        }
    }

    fn saying(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            ..Self::default()
        }
    }

    fn into_error(
        self,
        status: Option<u16>,
        wait_in_headers: Option<Duration>,
        provider: &str,
        key_source: &str,
    ) -> ProviderError {
        let (kind, retryable) = self.classify(status);
        let rejection = Rejection {
            status,
            code: &self.status,
            said: &self.message,
            request_id: None,
            kind,
            retryable,
            retry_after: self.retry_delay().or(wait_in_headers),
        };
        rejection.into_error(provider, key_source)
    }

    fn classify(&self, http_status: Option<u16>) -> (FailureKind, bool) {
        if self.is_out_of_money() {
            return (FailureKind::ProviderBudget, false);
        }
        if self.is_overflow(http_status) {
            return (FailureKind::ContextOverflow, false);
        }
        if is_rejected_reasoning(http_status.or(self.code), &self.message) {
            return (FailureKind::ReasoningRejected, false);
        }
        if self.is_about_the_key() {
            return (FailureKind::ProviderAuth, false);
        }
        match (self.status.as_str(), http_status.or(self.code)) {
            ("UNAUTHENTICATED" | "PERMISSION_DENIED", _) | (_, Some(401 | 403)) => {
                (FailureKind::ProviderAuth, false)
            }
            ("RESOURCE_EXHAUSTED", _) | (_, Some(429)) => (FailureKind::RateLimited, true),
            ("UNAVAILABLE", _) | (_, Some(503 | 529)) => (FailureKind::Overloaded, true),
            ("INTERNAL" | "DEADLINE_EXCEEDED" | "CANCELLED" | "ABORTED" | "UNKNOWN", _)
            | (_, Some(408 | 409 | 499..))
            | ("", None) => (FailureKind::Transport, true),
            _ => (FailureKind::ProviderRequest, false),
        }
    }

    fn is_out_of_money(&self) -> bool {
        const TEXTS: [&str; 2] = ["enable billing", "credits are depleted"];
        self.has_reason("BILLING_DISABLED") || TEXTS.iter().any(|text| self.message.contains(text))
    }

    /// A `maxOutputTokens` above the model's own limit is not one: compaction would not mend it.
    fn is_overflow(&self, http_status: Option<u16>) -> bool {
        const TEXTS: [&str; 2] = [
            "exceeds the maximum number of tokens allowed",
            "payload size exceeds the limit",
        ];
        http_status == Some(413) || TEXTS.iter().any(|text| self.message.contains(text))
    }

    /// A wrong key is answered with status 400.
    fn is_about_the_key(&self) -> bool {
        self.has_reason("API_KEY_INVALID") || self.message.contains("API key not valid")
    }

    fn has_reason(&self, reason: &str) -> bool {
        let mut reasons = self.details.iter().map(|detail| detail.reason.as_deref());
        reasons.any(|known| known == Some(reason))
    }

    /// `RetryInfo` says it in seconds with an `s`, such as `36.5s`.
    fn retry_delay(&self) -> Option<Duration> {
        let delay = self
            .details
            .iter()
            .find_map(|detail| detail.retry_delay.as_deref())?;
        let seconds = delay.trim().strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl Detail {
    fn of(detail: &Value) -> Self {
        let text = |key: &str| detail[key].as_str().map(str::to_owned);
        Self {
            reason: text("reason"),
            retry_delay: text("retryDelay"),
        }
    }
}

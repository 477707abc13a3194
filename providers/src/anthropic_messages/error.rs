//! What a rejection means: try again, wait, mend something, or give up.

use std::time::{Duration, SystemTime};

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::header::HeaderMap;

use super::event::ErrorBody;

/// How much of the API's words an error repeats.
const SHOWN_CHARS: usize = 2000;
/// A 429 with this code is not about speed: the account's limit is used up.
const SPEND_LIMIT_CODE: &str = "enforced_spend_limit_reached";

/// An error answer, as an HTTP status or in the middle of a stream.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    status: Option<u16>,
    body: ErrorBody,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
}

impl Rejection {
    pub(super) fn of_response(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let parsed = serde_json::from_slice(body).ok();
        Self {
            status: Some(status),
            body: parsed.unwrap_or_else(|| not_json(body)),
            should_retry: header(headers, "x-should-retry").and_then(|text| text.parse().ok()),
            retry_after: retry_after(headers),
        }
    }

    pub(super) fn in_stream(body: ErrorBody) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }

    /// The error for the loop. `key_source` is where the key came from.
    pub(super) fn into_error(self, provider: &str, key_source: &str) -> ProviderError {
        let (kind, retryable) = self.classify();
        ProviderError {
            kind,
            message: self.message(provider, kind, key_source),
            retryable: match self.should_retry {
                Some(said) if kind != FailureKind::ProviderBudget => said,
                _ => retryable,
            },
            retry_after_ms: self
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn classify(&self) -> (FailureKind, bool) {
        if self.is_out_of_money() {
            return (FailureKind::ProviderBudget, false);
        }
        if self.is_overflow() {
            return (FailureKind::ContextOverflow, false);
        }
        match (self.body.error.kind.as_str(), self.status) {
            ("authentication_error" | "permission_error", _) | (_, Some(401 | 403)) => {
                (FailureKind::ProviderAuth, false)
            }
            ("rate_limit_error", _) | (_, Some(429)) => (FailureKind::RateLimited, true),
            ("overloaded_error", _) | (_, Some(503 | 529)) => (FailureKind::Overloaded, true),
            ("api_error" | "timeout_error", _) | (_, Some(408 | 409 | 500..)) => {
                (FailureKind::Transport, true)
            }
            _ => (FailureKind::ProviderRequest, false),
        }
    }

    fn is_out_of_money(&self) -> bool {
        let error = &self.body.error;
        self.status == Some(402)
            || error.kind == "billing_error"
            || error.code().as_deref() == Some(SPEND_LIMIT_CODE)
            || error.message.contains("credit balance is too low")
    }

    /// A `max_tokens` above the model's own limit is not one: compaction would not mend it.
    fn is_overflow(&self) -> bool {
        const TEXTS: [&str; 3] = [
            "prompt is too long",
            "exceed context limit",
            "exceeds the context window",
        ];
        let message = &self.body.error.message;
        self.status == Some(413)
            || self.body.error.kind == "request_too_large"
            || TEXTS.iter().any(|text| message.contains(text))
    }

    fn message(&self, provider: &str, kind: FailureKind, key_source: &str) -> String {
        let said: String = self.body.error.message.chars().take(SHOWN_CHARS).collect();
        let what = match self.status {
            Some(status @ 300..400) => {
                format!("the API answered with a redirect ({status}), which is not followed")
            }
            Some(status) => format!("the API answered {status} {}", self.body.error.kind),
            None => format!("the API broke the reply off with {}", self.body.error.kind),
        };
        let hint = match (kind, self.status) {
            (FailureKind::ProviderAuth, _) => format!("; check the key in {key_source}"),
            (FailureKind::ProviderBudget, _) => "; check the account's billing".to_owned(),
            (_, Some(404)) => "; check `model` and `base_url`".to_owned(),
            (_, Some(300..400)) => "; check `base_url`".to_owned(),
            _ => String::new(),
        };
        let id = match &self.body.request_id {
            Some(id) => format!(" (request {id})"),
            None => String::new(),
        };
        format!("{provider}: {}: {said}{hint}{id}", what.trim_end())
    }
}

fn not_json(body: &[u8]) -> ErrorBody {
    let mut parsed = ErrorBody::default();
    parsed.error.message = String::from_utf8_lossy(body).trim().to_owned();
    parsed
}

/// `retry-after-ms`, else `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(Ok(milliseconds)) = header(headers, "retry-after-ms").map(str::parse::<f64>) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = header(headers, "retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

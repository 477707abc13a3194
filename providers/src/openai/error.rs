//! What a rejection means: try again, wait, mend something, or give up.
//!
//! Services that copied the API agree on little but the HTTP status, so their codes and words count
//! as well.

use std::borrow::Cow;
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use serde::Deserialize;
use serde_json::Value;

use super::REQUEST_ID_HEADER;
use crate::exchange::{Refused, Rejection, header, rate_limit_reset, retry_after};
use crate::rejected_reasoning::is_rejected_reasoning;

mod overflow;
mod wait;

/// The error for a rejected request.
pub(crate) fn of_response(answer: &Refused, provider: &str, key_source: &str) -> ProviderError {
    let said = Said::in_body(&answer.body);
    let (kind, retryable) = said.classify(Some(answer.status));
    let reset = rate_limit_reset(&answer.headers);
    let should_retry = header(&answer.headers, "x-should-retry").and_then(|text| text.parse().ok());
    let rejection = Rejection {
        status: Some(answer.status),
        code: &said.code,
        said: &said.message,
        request_id: header(&answer.headers, REQUEST_ID_HEADER),
        kind,
        retryable: match should_retry {
            Some(said) if kind != FailureKind::ProviderBudget => said,
            _ => retryable,
        },
        retry_after: retry_after(&answer.headers)
            .or_else(|| said.wait())
            .or_else(|| reset.filter(|_| kind == FailureKind::RateLimited)),
    };
    rejection.into_error(provider, key_source)
}

/// The error for a reply that an event breaks off.
pub(crate) fn in_stream(event: &[u8], provider: &str, key_source: &str) -> ProviderError {
    let said = Said::in_body(event);
    let (kind, retryable) = said.classify(None);
    let code = if said.code.is_empty() {
        "an error"
    } else {
        &said.code
    };
    let rejection = Rejection {
        status: None,
        code,
        said: &said.message,
        request_id: None,
        kind,
        retryable,
        retry_after: said.wait(),
    };
    rejection.into_error(provider, key_source)
}

/// What an error says, in whatever form it came.
#[derive(Debug, Default)]
struct Said {
    code: String,
    /// `type` and `code`, one of which is often empty or a copy of the status.
    names: [String; 2],
    status: Option<u16>,
    message: String,
    /// What a service in between says about the one behind it.
    behind: String,
    moderated: bool,
}

/// An error object, or a body that is one itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorObject {
    message: Value,
    detail: Value,
    #[serde(rename = "type")]
    kind: Value,
    code: Value,
    status_code: Value,
    /// What services in between add, in any form.
    metadata: Value,
}

impl Said {
    fn in_body(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(value) => Self::in_json(value),
            Err(_) => Self {
                message: String::from_utf8_lossy(body).trim().to_owned(),
                ..Self::default()
            },
        }
    }

    /// `{"error": {…}}`, `{"error": "…"}`, a list of one of these, or the object without a frame.
    fn in_json(mut value: Value) -> Self {
        if let Some(first) = value.get_mut(0) {
            value = first.take();
        }
        match value.get_mut("error").map(Value::take) {
            Some(Value::String(message)) => Self {
                message,
                ..Self::in_object(value)
            },
            Some(object @ Value::Object(_)) => Self::in_object(object),
            _ => Self::in_object(value),
        }
    }

    fn in_object(value: Value) -> Self {
        let whole = value.to_string();
        let object: ErrorObject = serde_json::from_value(value).unwrap_or_default();
        let names = [text(&object.kind), text(&object.code)].map(Cow::into_owned);
        let message = [&object.message, &object.detail]
            .into_iter()
            .map(text)
            .find(|said| !said.is_empty());
        let status = [&object.code, &object.status_code]
            .into_iter()
            .find_map(|code| text(code).parse().ok());
        Self {
            code: names
                .iter()
                .rev()
                .find(|name| !name.is_empty())
                .cloned()
                .unwrap_or_default(),
            names,
            status: status.filter(|status| (400..600).contains(status)),
            message: message.map_or(whole, Cow::into_owned),
            behind: text(&object.metadata["raw"]).into_owned(),
            moderated: !object.metadata["reasons"].is_null(),
        }
        .with_words_behind()
    }

    /// "Provider returned error" alone would tell nobody what to do.
    fn with_words_behind(mut self) -> Self {
        if !self.behind.is_empty() {
            self.message = format!("{}: {}", self.message, self.behind);
        }
        self
    }

    fn classify(&self, http_status: Option<u16>) -> (FailureKind, bool) {
        let status = http_status.or(self.status).or_else(|| self.usual_status());
        if self.is_named(&[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "insufficient_balance",
        ]) || status == Some(402)
            || self.says(&[
                "insufficient balance",
                "insufficient credits",
                "run out of credits",
            ])
        {
            return (FailureKind::ProviderBudget, false);
        }
        if status == Some(413) || overflow::is_overflow(&self.names, &self.message) {
            return (FailureKind::ContextOverflow, false);
        }
        if self.is_named(&["invalid_encrypted_content"])
            || is_rejected_reasoning(status, &self.message)
        {
            return (FailureKind::ReasoningRejected, false);
        }
        if self.is_malformed_call() && !matches!(status, Some(401 | 403 | 429 | 500..)) {
            return (FailureKind::MalformedReply, true);
        }
        if self.moderated || self.is_named(&["content_policy_violation", "content_filter"]) {
            return (FailureKind::ProviderRequest, false);
        }
        if self.is_named(&["invalid_api_key", "authentication_error"])
            || self.says(&["incorrect api key", "invalid api key"])
        {
            return (FailureKind::ProviderAuth, false);
        }
        if self.is_set_up_wrongly() {
            return (FailureKind::ProviderRequest, false);
        }
        self.classify_by_status(status)
    }

    /// The status that goes with an error's name, for one that came without.
    fn usual_status(&self) -> Option<u16> {
        if self.is_named(&["permission_error", "permission_denied"]) {
            return Some(403);
        }
        let is_missing = self.is_named(&["not_found", "not_found_error", "model_not_found"]);
        is_missing.then_some(404)
    }

    fn classify_by_status(&self, status: Option<u16>) -> (FailureKind, bool) {
        match status {
            Some(401 | 403) => (FailureKind::ProviderAuth, false),
            Some(429) => (FailureKind::RateLimited, true),
            Some(503 | 529) => (FailureKind::Overloaded, true),
            _ if self.is_named(&["rate_limit_exceeded", "rate_limit_error"]) => {
                (FailureKind::RateLimited, true)
            }
            _ if self.is_named(&["overloaded_error", "server_is_overloaded", "slow_down"]) => {
                (FailureKind::Overloaded, true)
            }
            Some(408 | 409 | 499..) => (FailureKind::Transport, true),
            Some(_) => (FailureKind::ProviderRequest, false),
            None if self.is_about_the_request() => (FailureKind::ProviderRequest, false),
            None => (FailureKind::Transport, true),
        }
    }

    /// A broken reply that would break again: names such as `invalid_prompt` or `image_too_large`.
    fn is_about_the_request(&self) -> bool {
        let names = self.names.iter();
        let mut words = names.flat_map(|name| name.split('_'));
        words.any(|word| word == "invalid" || word == "image")
    }

    /// The model wrote a call that the service could not read, and may not do so again.
    fn is_malformed_call(&self) -> bool {
        self.is_named(&["tool_use_failed"])
            || self.says(&["failed to parse tool call", "token limit reached"])
    }

    /// A server's own settings are at fault, which its status calls an accident.
    fn is_set_up_wrongly(&self) -> bool {
        self.says(&["--jinja", "mmproj"])
    }

    fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(&name.as_str()))
    }

    fn says(&self, texts: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        texts.iter().any(|text| message.contains(text))
    }

    fn wait(&self) -> Option<Duration> {
        wait::in_words(&self.message)
    }
}

/// A text, or a number as one.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

//! What a rejection means: try again, wait, mend something, or give up.

use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::{Refused, Rejection, retry_after};

/// The error for a rejected request.
pub(super) fn of_response(answer: &Refused, provider: &str, key_source: &str) -> ProviderError {
    into_error(
        Some(answer.status),
        &said_in(&answer.body),
        retry_after(&answer.headers),
        provider,
        key_source,
    )
}

/// The error for a reply that a line breaks off.
pub(super) fn in_stream(line: &[u8], provider: &str) -> ProviderError {
    into_error(None, &said_in(line), None, provider, "")
}

fn said_in(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    match serde_json::from_slice(body) {
        Ok(Body { error }) => words(error),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

/// The server says it in a sentence; a proxy before it may use an object with a `message`.
fn words(error: &RawValue) -> String {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Sentence(String),
        Object { message: String },
    }
    match serde_json::from_str(error.get()) {
        Ok(Said::Sentence(message) | Said::Object { message }) => message,
        Err(_) => error.get().to_owned(),
    }
}

fn into_error(
    status: Option<u16>,
    said: &str,
    retry_after: Option<Duration>,
    provider: &str,
    key_source: &str,
) -> ProviderError {
    let (kind, retryable) = classify(status, said);
    let rejection = Rejection {
        status,
        code: if status.is_none() { "an error" } else { "" },
        said,
        request_id: None,
        kind,
        retryable,
        retry_after,
    };
    rejection.into_error(provider, key_source)
}

/// There are no codes, so the words must do where the status does not.
fn classify(status: Option<u16>, said: &str) -> (FailureKind, bool) {
    const OVERFLOW: [&str; 3] = [
        "exceeds the available context size",
        "exceeds the context length",
        "exceeds maximum context length",
    ];
    const TOO_SMALL: [&str; 2] = ["requires more system memory", "out of memory"];
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    match status {
        _ if status == Some(413) || says(&OVERFLOW) => (FailureKind::ContextOverflow, false),
        _ if says(&TOO_SMALL) => (FailureKind::ProviderRequest, false),
        _ if says(&["error parsing tool call"]) => (FailureKind::MalformedReply, true),
        Some(401 | 403) => (FailureKind::ProviderAuth, false),
        Some(402) => (FailureKind::ProviderBudget, false),
        Some(429) => (FailureKind::RateLimited, true),
        Some(503 | 529) => (FailureKind::Overloaded, true),
        Some(408 | 409 | 499..) | None => (FailureKind::Transport, true),
        Some(_) => (FailureKind::ProviderRequest, false),
    }
}

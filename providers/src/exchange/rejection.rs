//! The words for an error answer, and the wait that it asks for.

use std::time::{Duration, SystemTime};

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::header::HeaderMap;

/// An error answer, as an HTTP status or in the middle of a stream, already classified.
#[derive(Debug)]
pub(crate) struct Rejection<'a> {
    /// The HTTP status; none in the middle of a stream.
    pub(crate) status: Option<u16>,
    /// The API's own name for the error; may be empty.
    pub(crate) code: &'a str,
    /// What the API says.
    pub(crate) said: &'a str,
    /// The API's own name for the request, by which its vendor finds it.
    pub(crate) request_id: Option<&'a str>,
    pub(crate) kind: FailureKind,
    pub(crate) retryable: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl Rejection<'_> {
    /// The error for the loop. `key_source` is where the key came from.
    pub(crate) fn into_error(self, provider: &str, key_source: &str) -> ProviderError {
        ProviderError {
            kind: self.kind,
            message: self.message(provider, key_source),
            retryable: self.retryable,
            retry_after_ms: self
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn message(&self, provider: &str, key_source: &str) -> String {
        let said = self.said;
        let what = match self.status {
            Some(status @ 300..400) => {
                format!("the API answered with a redirect ({status}), which is not followed")
            }
            Some(status) => format!("the API answered {status} {}", self.code),
            None => format!("the API broke the reply off with {}", self.code),
        };
        let hint = match (self.kind, self.status) {
            (FailureKind::ProviderAuth, _) => format!("; check the key in {key_source}"),
            (FailureKind::ProviderBudget, _) => "; check the account's billing".to_owned(),
            (_, Some(404)) => "; check `model` and `base_url`".to_owned(),
            (_, Some(300..400)) => "; check `base_url`".to_owned(),
            _ => String::new(),
        };
        let id = match self.request_id {
            Some(id) => format!(" (request {id})"),
            None => String::new(),
        };
        format!("{provider}: {}: {said}{hint}{id}", what.trim_end())
    }
}

/// `retry-after-ms`, else `retry-after` in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

/// `x-ratelimit-reset`, as OpenRouter sends it: when the limit is lifted, in milliseconds since 1970. Others
/// give seconds, since then or from now on.
pub(crate) fn rate_limit_reset(headers: &HeaderMap) -> Option<Duration> {
    /// No wait is so long, and no date of a limit so early.
    const EARLIEST_SECONDS: f64 = 1e9;
    const EARLIEST_MILLISECONDS: f64 = 1e12;

    let value: f64 = header(headers, "x-ratelimit-reset")?.parse().ok()?;
    if value < EARLIEST_SECONDS {
        return Duration::try_from_secs_f64(value).ok();
    }
    let is_milliseconds = value >= EARLIEST_MILLISECONDS;
    let seconds = if is_milliseconds {
        value / 1000.0
    } else {
        value
    };
    let date = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// A header as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

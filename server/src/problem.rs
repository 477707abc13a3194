//! The one shape of every error before a stream: problem details for HTTP APIs (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::{Retired, StoreError};
use pullwright_protocol::{FailureKind, RunId};
use schemars::JsonSchema;
use serde::Serialize;

/// The media type of a problem (RFC 9457, section 3).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Says that a problem means no more than its status (RFC 9457, section 4.2.1).
const BLANK_TYPE: &str = "about:blank";

/// When a caller of a server that stops should try again: about as long as a restart takes.
const STOPPING_SECS: u64 = 10;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiProblem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What kind of thing.
    pub kind: FailureKind,
    /// What happened, to which thing, and what to do.
    pub message: String,
    /// After how many seconds the same request may succeed.
    pub retry_after_secs: Option<u64>,
    /// The run that it is about, as a path of this server.
    pub instance: Option<String>,
}

/// A problem as it is sent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Problem<'a> {
    /// What kind of problem in general: always `about:blank`, so the status says it.
    #[serde(rename = "type")]
    type_uri: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What happened, to which thing, and what to do.
    detail: &'a str,
    /// The run that it is about, as a path of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// What kind of thing went wrong, in one word.
    kind: FailureKind,
    /// The same as `detail`, for clients of before there was one.
    message: &'a str,
}

impl ApiProblem {
    /// A problem of any kind.
    #[must_use]
    pub fn new(status: StatusCode, kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            retry_after_secs: None,
            instance: None,
        }
    }

    /// The request is malformed or names something that does not exist: 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, FailureKind::BadRequest, message)
    }

    /// The request is over a limit: 413.
    #[must_use]
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, FailureKind::Limit, message)
    }

    pub(crate) fn unknown_run(run: &RunId) -> Self {
        let message = format!("there is no run `{run}`; GET /v1/runs lists the latest ones");
        Self::new(StatusCode::NOT_FOUND, FailureKind::BadRequest, message)
    }

    pub(crate) fn retired(run: &RunId, how: Retired) -> Self {
        let what = match how {
            Retired::Archived => {
                "were moved to the server's archive, where `pullwright runs` shows them"
            }
            Retired::Removed => "were removed",
        };
        let message = format!(
            "run `{run}` ended long ago; its events and its patch {what}, and \
             GET /v1/runs/{run} tells how it ended"
        );
        Self::new(StatusCode::GONE, FailureKind::BadRequest, message)
    }

    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::BadRequest,
            "this Idempotency-Key came before with another body; use a new key for a new run",
        )
    }

    pub(crate) fn busy(under_way: usize, waiting: usize, retry_after_secs: u64) -> Self {
        let message = format!(
            "no more runs are taken for now: {under_way} are under way and {waiting} wait for a place; \
             try again in {retry_after_secs} seconds"
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, FailureKind::RateLimited, message).retry_after(retry_after_secs)
    }

    pub(crate) fn stopping() -> Self {
        let message = format!(
            "the server is stopping and takes no new runs; \
             try again in {STOPPING_SECS} seconds, or at another server"
        );
        Self::unavailable(message).retry_after(STOPPING_SECS)
    }

    /// Says which run it is about.
    #[must_use]
    pub(crate) fn about(self, run: &RunId) -> Self {
        Self {
            instance: Some(format!("/v1/runs/{run}")),
            ..self
        }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_secs: Some(seconds),
            ..self
        }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Internal,
            message,
        )
    }
}

impl From<StoreError> for ApiProblem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownRun(run) => Self::unknown_run(&run),
            // The reason names files of this machine, so it goes to the log only.
            error => {
                tracing::error!(%error, "a request failed on the run store");
                Self::unavailable("the run store failed; the server's log says why")
            }
        }
    }
}

impl<'a> From<&'a ApiProblem> for Problem<'a> {
    fn from(problem: &'a ApiProblem) -> Self {
        Self {
            type_uri: BLANK_TYPE,
            title: problem.status.canonical_reason().unwrap_or("Error"),
            status: problem.status.as_u16(),
            detail: &problem.message,
            instance: problem.instance.as_deref(),
            kind: problem.kind,
            message: &problem.message,
        }
    }
}

/// The response carries the problem, for those who record what was refused.
impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Problem::from(&self))).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(PROBLEM_TYPE);
        headers.insert(header::CONTENT_TYPE, media_type);
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"pullwright\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

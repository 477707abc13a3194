//! Answers: what of them is read, how much at most, and what the bad ones are called.

use futures_util::StreamExt;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Response, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
};
use url::Url;

use super::events::events_of;
use super::{McpHttp, McpHttpError, error};

pub(super) type ExchangeError = StreamableHttpError<McpHttpError>;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

impl McpHttp {
    pub(super) async fn answer(
        &self,
        message: &ClientJsonRpcMessage,
        response: Response,
        in_session: bool,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let status = response.status();
        if status == StatusCode::NOT_FOUND && in_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        if !status.is_success() {
            return self.refusal(response, limits).await;
        }
        let awaited = matches!(message, ClientJsonRpcMessage::Request(_));
        if !awaited || matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let session = session_of(&response);
        let kind = type_of(&response).to_owned();
        if has_type(&response, EVENT_STREAM) {
            let events = events_of(self.clone(), response, limits.max_sse_event_size);
            return Ok(StreamableHttpPostResponse::Sse(events, session));
        }
        let body = self.read(response, limits.max_json_response_size).await?;
        // Not shown itself: a server that says anything may say our credentials.
        let message = serde_json::from_slice(&body)
            .map_err(|_| self.malformed(format!("{} bytes of type `{kind}`", body.len())))?;
        Ok(StreamableHttpPostResponse::Json(message, session))
    }

    /// An HTTP error may carry an answer of the protocol; otherwise its status is all that is said.
    async fn refusal(
        &self,
        response: Response,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let status = response.status();
        if status.is_redirection() {
            return Err(StreamableHttpError::Client(self.redirected(&response)));
        }
        let unauthorized = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if has_type(&response, JSON) && !unauthorized {
            let session = session_of(&response);
            let body = self.read(response, limits.max_json_response_size).await?;
            if let Ok(error @ ServerJsonRpcMessage::Error(_)) = serde_json::from_slice(&body) {
                return Ok(StreamableHttpPostResponse::Json(error, session));
            }
        }
        Err(self.refused(status))
    }

    /// A body of at most `limit` bytes.
    pub(super) async fn read(
        &self,
        response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, ExchangeError> {
        let mut chunks = response.bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| {
                let error = error::of_request(self.host(), error);
                StreamableHttpError::Client(self.note(error))
            })?;
            if body.len() + chunk.len() > limit {
                return Err(StreamableHttpError::Client(self.note(
                    McpHttpError::TooLarge {
                        host: self.host(),
                        what: "answer",
                        limit,
                    },
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn refused(&self, status: StatusCode) -> ExchangeError {
        StreamableHttpError::Client(self.note(McpHttpError::Status {
            host: self.host(),
            status: status.as_u16(),
        }))
    }

    fn malformed(&self, reason: String) -> ExchangeError {
        StreamableHttpError::Client(self.note(McpHttpError::Malformed {
            host: self.host(),
            reason,
        }))
    }

    fn redirected(&self, response: &Response) -> McpHttpError {
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| self.inner.url.join(location).ok());
        self.note(McpHttpError::Redirect {
            host: self.host(),
            // Only the host: the rest of an address may hold a secret.
            target: target
                .as_ref()
                .map_or_else(|| "nowhere".to_owned(), origin_of),
        })
    }
}

fn session_of(response: &Response) -> Option<String> {
    let session = response.headers().get(SESSION_ID)?;
    session.to_str().ok().map(str::to_owned)
}

pub(super) fn has_type(response: &Response, wanted: &str) -> bool {
    let essence = type_of(response).split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

fn type_of(response: &Response) -> &str {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

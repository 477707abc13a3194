//! The exchanges with an MCP server, as the SDK asks for them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::Sse;
use url::Url;

use super::events::events_of;
use super::{McpHttp, McpHttpError, error};

type ExchangeError = StreamableHttpError<McpHttpError>;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// How much of an answer that is no MCP message is shown, in characters.
const SHOWN_CHARS: usize = 200;

impl StreamableHttpClient for McpHttp {
    type Error = McpHttpError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            limits,
        )
        .await
    }

    async fn post_message_with_response_limits(
        &self,
        _uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let headers = with_session(custom_headers, session_id.as_deref())?;
        match discover_id(&message) {
            Some(id) => self.discover(id.clone(), &message, headers, limits).await,
            None => {
                let in_session = session_id.is_some();
                self.post(&message, headers, in_session, limits).await
            }
        }
    }

    async fn delete_session(
        &self,
        _uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), ExchangeError> {
        let headers = with_session(custom_headers, Some(&session_id))?;
        let response = self.send(self.request(Method::DELETE, headers)).await?;
        match response.status() {
            // A server may keep its sessions to itself, and may have forgotten this one.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(self.refused(status)),
        }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, ExchangeError> {
        let limit = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            limit,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        _uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_event_bytes: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, ExchangeError> {
        let mut headers = with_session(custom_headers, session_id.as_deref())?;
        if let Some(id) = last_event_id {
            headers.insert(LAST_EVENT_ID, header_value("Last-Event-ID", &id)?);
        }
        headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        let response = self.send(self.request(Method::GET, headers)).await?;
        let status = response.status();
        // A server that has nothing to say by itself refuses this request in one way or another.
        if status.is_client_error() {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        if !status.is_success() {
            return Err(self.refused(status));
        }
        if !has_type(&response, EVENT_STREAM) {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        Ok(events_of(self.clone(), response, max_event_bytes))
    }
}

impl McpHttp {
    /// A server of the older era may refuse `server/discover` in any way, or never answer: all of it
    /// means that the handshake has to be tried.
    async fn discover(
        &self,
        id: RequestId,
        message: &ClientJsonRpcMessage,
        headers: HeaderMap,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let exchange = async {
            let request = self.posting(message, headers)?;
            let response = self.send(request).await?;
            let status = response.status();
            let unauthorized = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if !status.is_client_error() || unauthorized {
                let answer = self.answer(message, response, false, limits).await?;
                return answer.expect_initialized().await;
            }
            let body = self.read(response, limits.max_error_response_size).await;
            let error = match serde_json::from_slice(&body.unwrap_or_default()) {
                Ok(ServerJsonRpcMessage::Error(error)) => error.error,
                _ => no_discover(format!("HTTP {status}")),
            };
            Ok((ServerJsonRpcMessage::error(error, Some(id.clone())), None))
        };
        let answered = tokio::time::timeout(self.inner.discover_timeout, exchange).await;
        let (answer, session) = answered.unwrap_or_else(|_| {
            let error = no_discover("no answer in time".to_owned());
            Ok((ServerJsonRpcMessage::error(error, Some(id.clone())), None))
        })?;
        Ok(StreamableHttpPostResponse::Json(answer, session))
    }

    async fn post(
        &self,
        message: &ClientJsonRpcMessage,
        headers: HeaderMap,
        in_session: bool,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, ExchangeError> {
        let response = self.send(self.posting(message, headers)?).await?;
        self.answer(message, response, in_session, limits).await
    }

    async fn answer(
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
        if has_type(&response, EVENT_STREAM) {
            let events = events_of(self.clone(), response, limits.max_sse_event_size);
            return Ok(StreamableHttpPostResponse::Sse(events, session));
        }
        let body = self.read(response, limits.max_json_response_size).await?;
        let message = serde_json::from_slice(&body)
            .map_err(|error| self.malformed(format!("{error} in `{}`", shown(&body))))?;
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

    fn posting(
        &self,
        message: &ClientJsonRpcMessage,
        mut headers: HeaderMap,
    ) -> Result<RequestBuilder, ExchangeError> {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        let body = serde_json::to_vec(message)?;
        Ok(self.request(Method::POST, headers).body(body))
    }

    /// What the row says comes last, so that nothing can stand in for its credentials.
    fn request(&self, method: Method, headers: HeaderMap) -> RequestBuilder {
        let request = self.inner.client.request(method, self.inner.url.clone());
        request.headers(headers).headers(self.inner.headers.clone())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ExchangeError> {
        let limit = self.inner.first_byte_timeout;
        let failed = match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error::of_request(self.host(), error),
            Err(_) => McpHttpError::Silent {
                host: self.host(),
                limit,
            },
        };
        Err(StreamableHttpError::Client(self.note(failed)))
    }

    /// A body of at most `limit` bytes.
    async fn read(&self, response: Response, limit: usize) -> Result<Vec<u8>, ExchangeError> {
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

    fn refused(&self, status: StatusCode) -> ExchangeError {
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

fn discover_id(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ClientJsonRpcMessage::Request(request) => match &request.request {
            ClientRequest::DiscoverRequest(_) => Some(&request.id),
            _ => None,
        },
        _ => None,
    }
}

fn no_discover(reason: String) -> ErrorData {
    let message = format!("server/discover was not answered: {reason}");
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
}

fn with_session(
    custom: HashMap<HeaderName, HeaderValue>,
    session: Option<&str>,
) -> Result<HeaderMap, ExchangeError> {
    let mut headers: HeaderMap = custom.into_iter().collect();
    if let Some(session) = session {
        headers.insert(SESSION_ID, header_value("Mcp-Session-Id", session)?);
    }
    Ok(headers)
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, ExchangeError> {
    HeaderValue::from_str(value)
        .map_err(|_| StreamableHttpError::Client(McpHttpError::Header(name.to_owned())))
}

fn session_of(response: &Response) -> Option<String> {
    let session = response.headers().get(SESSION_ID)?;
    session.to_str().ok().map(str::to_owned)
}

fn has_type(response: &Response, wanted: &str) -> bool {
    let found = response.headers().get(CONTENT_TYPE);
    let found = found
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(SHOWN_CHARS).collect()
}

//! The exchanges with an MCP server, as the SDK asks for them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::Sse;

use super::answer::{EVENT_STREAM, ExchangeError, has_type};
use super::events::events_of;
use super::request::{header_value, with_session};
use super::{McpHttp, McpHttpError};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

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

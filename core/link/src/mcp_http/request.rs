//! Requests: their headers, and the wait for the head of an answer.

use std::collections::HashMap;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::answer::{ExchangeError, JSON, SESSION_ID};
use super::{McpHttp, McpHttpError, error};

impl McpHttp {
    pub(super) fn posting(
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
    pub(super) fn request(&self, method: Method, headers: HeaderMap) -> RequestBuilder {
        let request = self.inner.client.request(method, self.inner.url.clone());
        request.headers(headers).headers(self.inner.headers.clone())
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ExchangeError> {
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
}

pub(super) fn with_session(
    custom: HashMap<HeaderName, HeaderValue>,
    session: Option<&str>,
) -> Result<HeaderMap, ExchangeError> {
    let mut headers: HeaderMap = custom.into_iter().collect();
    if let Some(session) = session {
        headers.insert(SESSION_ID, header_value("Mcp-Session-Id", session)?);
    }
    Ok(headers)
}

pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, ExchangeError> {
    HeaderValue::from_str(value)
        .map_err(|_| StreamableHttpError::Client(McpHttpError::Header(name.to_owned())))
}

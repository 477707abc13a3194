//! MCP over streamable HTTP: requests are posted, answers come as JSON or as a stream of events.
//!
//! The SDK drives sessions, event ids and cancellation; this client makes the exchanges, each of
//! which is bounded, and sends its credentials to the one configured address only.

mod answer;
mod error;
mod events;
mod exchange;
mod request;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use url::Url;

pub use error::McpHttpError;

/// How long a connection may take before the host counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the operating system probes a silent connection.
const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Where an MCP server is, and what it is told with every request.
#[derive(Clone)]
pub struct McpHttpOptions {
    /// The server's address.
    pub url: Url,
    /// The bearer token.
    pub bearer_token: Option<String>,
    /// More headers, by name; their values may be secrets.
    pub headers: Vec<(String, String)>,
    /// The longest wait for the head of an answer.
    pub first_byte_timeout: Duration,
    /// The longest wait for the whole answer to `server/discover`, which servers of the older era
    /// may leave unanswered.
    pub discover_timeout: Duration,
}

/// A client of one MCP server. Clones share their connections.
///
/// It follows no redirect, since its credentials are for one origin only.
#[derive(Clone)]
pub struct McpHttp {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    first_byte_timeout: Duration,
    discover_timeout: Duration,
    trouble: Mutex<Option<McpHttpError>>,
}

impl McpHttp {
    /// A client with a connection pool of its own. Nothing is sent yet.
    ///
    /// # Errors
    /// When a header is none, or the machine's TLS set-up is broken.
    pub fn new(options: &McpHttpOptions) -> Result<Self, McpHttpError> {
        // Another part of the process may have installed one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(TCP_PROBE_INTERVAL)
            .tcp_nodelay(true)
            .user_agent(concat!("pullwright/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| McpHttpError::SetUp(error::chain(&error)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                url: options.url.clone(),
                headers: headers_of(options)?,
                first_byte_timeout: options.first_byte_timeout,
                discover_timeout: options.discover_timeout,
                trouble: Mutex::new(None),
            }),
        })
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.inner.url.as_str()
    }

    /// What went wrong last, once: the SDK tells less of it.
    #[must_use]
    pub fn take_trouble(&self) -> Option<McpHttpError> {
        self.trouble().take()
    }

    fn host(&self) -> String {
        let url = &self.inner.url;
        let host = url.host_str().unwrap_or("the server");
        match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Keeps an error for [`McpHttp::take_trouble`].
    fn note(&self, error: McpHttpError) -> McpHttpError {
        self.trouble().replace(error.clone());
        error
    }

    fn trouble(&self) -> MutexGuard<'_, Option<McpHttpError>> {
        let trouble = self.inner.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address may hold a secret in its query, and headers hold them.
impl fmt::Debug for McpHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpHttp")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for McpHttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("McpHttpOptions")
            .field("host", &self.url.host_str())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn headers_of(options: &McpHttpOptions) -> Result<HeaderMap, McpHttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| McpHttpError::Header(name.clone()))?;
        headers.insert(parsed, secret_value(name, value)?);
    }
    if let Some(token) = &options.bearer_token {
        let value = secret_value("Authorization", &format!("Bearer {token}"))?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn secret_value(name: &str, value: &str) -> Result<HeaderValue, McpHttpError> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| McpHttpError::Header(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

//! The one HTTP client, and the bounds of its waits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::Certificate;
use reqwest::redirect::Policy;
use url::Url;

use crate::open::ProviderSettings;

/// How long a connection may take before the host counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a host may take to answer with its first byte before the request counts as lost.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a stream may say nothing, pings included, before it counts as dead.
const IDLE_STREAM_TIMEOUT: Duration = Duration::from_secs(120);
/// Ten times what the longest reply of a model takes, with an event for each token.
const MAX_REPLY_BYTES: u64 = 512 * 1024 * 1024;
/// How long an idle connection is kept for the next turn: tools may take minutes.
const KEEP_CONNECTION: Duration = Duration::from_secs(300);
/// How often the operating system probes a silent connection.
const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// The bounds of a reply. There is none for its time as a whole: a long reply is not a lost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Until the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
    /// The most bytes of the answer's body: a service that never stops must not fill our memory.
    pub bytes: u64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            first_byte: FIRST_BYTE_TIMEOUT,
            idle: IDLE_STREAM_TIMEOUT,
            bytes: MAX_REPLY_BYTES,
        }
    }
}

/// A client with a connection pool of its own. Clones share the pool.
#[derive(Clone, Debug)]
pub struct HttpClient {
    pub(crate) client: reqwest::Client,
}

impl HttpClient {
    /// A new client, with a pool of its own.
    ///
    /// # Errors
    /// What is wrong with the machine's TLS set-up.
    pub fn new() -> Result<Self, String> {
        Self::with_authorities(Vec::new())
    }

    fn with_authorities(authorities: Vec<Certificate>) -> Result<Self, String> {
        // Another part of the process may have installed one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(KEEP_CONNECTION)
            .tcp_keepalive(TCP_PROBE_INTERVAL)
            .tcp_nodelay(true)
            .user_agent(concat!("pullwright/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(authorities)
            .build()
            .map(|client| Self { client })
            .map_err(|error| error_chain(&error))
    }

    /// The client of this process: its pool keeps one connection per host and turn in flight.
    ///
    /// # Errors
    /// What is wrong with the machine's TLS set-up.
    pub fn shared() -> Result<Self, String> {
        static SHARED: OnceLock<Result<HttpClient, String>> = OnceLock::new();
        SHARED.get_or_init(Self::new).clone()
    }

    /// The client for a row: all rows share one, but for those that trust whom others do not.
    ///
    /// # Errors
    /// What is wrong with the machine's TLS set-up, or with the row's `ca_file`.
    pub fn for_row(row: &ProviderSettings) -> Result<Self, String> {
        match &row.ca_file {
            Some(file) => Self::trusting(file),
            None => Self::shared(),
        }
    }

    /// A client that also trusts the certificate authorities of a PEM file. The file is read each
    /// time; as long as it holds the same, the connections are shared.
    fn trusting(file: &Path) -> Result<Self, String> {
        static POOLS: Mutex<BTreeMap<Vec<u8>, HttpClient>> = Mutex::new(BTreeMap::new());
        let said = |reason: String| format!("`ca_file` {}: {reason}", file.display());
        let pem = std::fs::read(file).map_err(|error| said(error.to_string()))?;
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&pem) {
            return Ok(client.clone());
        }
        let authorities = Certificate::from_pem_bundle(&pem);
        let authorities = authorities.map_err(|error| said(error_chain(&error)))?;
        if authorities.is_empty() {
            return Err(said("it holds no certificate in PEM form".to_owned()));
        }
        let client = Self::with_authorities(authorities).map_err(said)?;
        pools.insert(pem, client.clone());
        Ok(client)
    }
}

/// `base` with `path` appended, whether or not it ends with a slash.
pub(crate) fn join_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Names the host and the cause of a failed exchange, without the key.
pub(crate) fn transport(provider: &Arc<str>, error: reqwest::Error) -> ProviderError {
    let host = error
        .url()
        .and_then(Url::host_str)
        .unwrap_or("the host")
        .to_owned();
    let cause = error_chain(&error.without_url());
    transport_error(format!(
        "{provider}: the connection to {host} broke: {cause}"
    ))
}

pub(crate) fn transport_error(message: String) -> ProviderError {
    ProviderError {
        kind: FailureKind::Transport,
        message,
        retryable: true,
        retry_after_ms: None,
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

//! A tool server over HTTP: MCP's streamable HTTP, for clients of both eras.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::{MAX_MESSAGE_BYTES, ToolServer};

/// Where the tools are.
pub const HTTP_PATH: &str = "/mcp";

/// How many sessions clients of the older era may have open; each costs a task. A session ends by itself
/// when nobody used it for five minutes.
const MAX_SESSIONS: usize = 256;

/// The header by which a client of the older era names its session.
const SESSION_HEADER: &str = "mcp-session-id";

/// The shortest token taken, in bytes: a shorter one can be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// Who may call.
#[derive(Clone)]
pub struct HttpAccess {
    listening: SocketAddr,
    token: Option<[u8; 32]>,
    hosts: Vec<String>,
}

/// Access that would leave the tools open to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpAccessError {
    /// The token can be guessed.
    #[error("the token has {0} bytes; take at least {MIN_TOKEN_BYTES} random ones")]
    ShortToken(usize),
    /// Without a token, everybody who reaches the address could call the tools.
    #[error(
        "refusing to serve tools on {0} without a token: other machines reach that address; set a \
         token, or listen on 127.0.0.1"
    )]
    OpenToOthers(SocketAddr),
}

impl HttpAccess {
    /// For those who send `token` as their bearer token. `listening` is the server's own address.
    ///
    /// # Errors
    /// When the token is short.
    pub fn with_token(listening: SocketAddr, token: &str) -> Result<Self, HttpAccessError> {
        if token.len() < MIN_TOKEN_BYTES {
            return Err(HttpAccessError::ShortToken(token.len()));
        }
        Ok(Self::new(listening, Some(fingerprint(token.as_bytes()))))
    }

    /// For every process of this machine.
    ///
    /// # Errors
    /// When other machines reach the address.
    pub fn open_on_loopback(listening: SocketAddr) -> Result<Self, HttpAccessError> {
        if !listening.ip().to_canonical().is_loopback() {
            return Err(HttpAccessError::OpenToOthers(listening));
        }
        Ok(Self::new(listening, None))
    }

    /// Also answers requests for these hosts, such as the name of a proxy in front. A request for
    /// another host than the address itself is refused otherwise: it comes from a page that was made to
    /// look like this server.
    #[must_use]
    pub fn also_for(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    fn new(listening: SocketAddr, token: Option<[u8; 32]>) -> Self {
        let mut hosts = vec![listening.to_string()];
        if listening.ip().to_canonical().is_loopback() {
            hosts.push(format!("localhost:{}", listening.port()));
        }
        Self {
            listening,
            token,
            hosts,
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = self.token else {
            return true;
        };
        let sent = headers.get(header::AUTHORIZATION);
        let sent = sent.and_then(|value| value.as_bytes().split_at_checked(b"bearer ".len()));
        sent.is_some_and(|(scheme, token)| {
            // Hashes are compared, so that the time it takes says nothing of the token.
            scheme.eq_ignore_ascii_case(b"bearer ") && fingerprint(token) == expected
        })
    }
}

/// Serves tools over HTTP at [`HTTP_PATH`] until `stop` fires.
///
/// # Errors
/// When the listener breaks.
pub async fn serve_http<S: Send + Sync + 'static>(
    server: ToolServer<S>,
    listener: TcpListener,
    access: HttpAccess,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = http_router(server, access, &stop);
    // Answers are small and must not wait for each other.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection does not take TCP_NODELAY");
        }
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// The same as a router, for a server that accepts connections itself. `stop` ends the sessions.
pub fn http_router<S: Send + Sync + 'static>(
    server: ToolServer<S>,
    access: HttpAccess,
    stop: &CancellationToken,
) -> Router {
    let sessions = Arc::new(LocalSessionManager::default());
    // A page may call tools only if it comes from here, which none does.
    let own_origins = access.hosts.iter().map(|host| format!("http://{host}"));
    let config = StreamableHttpServerConfig::default()
        .with_max_request_body_bytes(MAX_MESSAGE_BYTES)
        .with_cancellation_token(stop.child_token())
        .with_allowed_hosts(access.hosts.clone())
        .with_allowed_origins(own_origins);
    let tools =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::clone(&sessions), config);
    let gate = Arc::new(Gate { access, sessions });
    Router::new()
        .route_service(HTTP_PATH, tools)
        .layer(middleware::from_fn_with_state(gate, Gate::pass))
}

/// What a request passes before it reaches the tools.
struct Gate {
    access: HttpAccess,
    sessions: Arc<LocalSessionManager>,
}

impl Gate {
    async fn pass(State(gate): State<Arc<Self>>, request: Request, next: Next) -> Response {
        if !gate.access.admits(request.headers()) {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            let reason = "send the token as `Authorization: Bearer …`\n";
            return (StatusCode::UNAUTHORIZED, challenge, reason).into_response();
        }
        if begins_session(&request) && gate.sessions.sessions.read().await.len() >= MAX_SESSIONS {
            let wait = [(header::RETRY_AFTER, "60")];
            let reason = format!("{MAX_SESSIONS} sessions are open already\n");
            return (StatusCode::SERVICE_UNAVAILABLE, wait, reason).into_response();
        }
        next.run(request).await
    }
}

/// Whether the request may open a session. One of the newer era does not, but is told the same while
/// there are too many: it says its version in a header that anybody can send.
fn begins_session(request: &Request) -> bool {
    request.method() == Method::POST && !request.headers().contains_key(SESSION_HEADER)
}

fn fingerprint(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl std::fmt::Debug for HttpAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpAccess")
            .field("listening", &self.listening)
            .field("token", &self.token.is_some())
            .field("hosts", &self.hosts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:8081";
    const TOKEN: &str = "0123456789abcdef";

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn only_the_token_opens() {
        let access = HttpAccess::with_token(LOOPBACK.parse().unwrap(), TOKEN).unwrap();
        assert!(access.admits(&headers(&format!("Bearer {TOKEN}"))));
        assert!(access.admits(&headers(&format!("bearer {TOKEN}"))));
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Basic 0123456789abcdef",
            "Bearer",
            "",
        ] {
            assert!(!access.admits(&headers(wrong)), "{wrong}");
        }
        assert!(!access.admits(&HeaderMap::new()));
        assert!(!format!("{access:?}").contains(TOKEN));
    }

    #[test]
    fn what_others_reach_needs_a_token_that_nobody_guesses() {
        let open: SocketAddr = "0.0.0.0:8081".parse().unwrap();
        let refused = HttpAccess::open_on_loopback(open).unwrap_err();
        assert_eq!(refused, HttpAccessError::OpenToOthers(open));
        assert!(HttpAccess::open_on_loopback(LOOPBACK.parse().unwrap()).is_ok());
        let short = HttpAccess::with_token(open, "secret").unwrap_err();
        assert_eq!(short, HttpAccessError::ShortToken(6));
    }
}

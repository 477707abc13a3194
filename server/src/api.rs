//! The HTTP API. The router is its table of contents.

mod answers;
mod body;
mod follow;
mod forge_token;
mod guard;
mod handlers;
mod headers;
mod lists;
mod messages;
mod openapi;
mod paging;
mod query;
mod serve;
mod status;
mod streams;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use pullwright_protocol::FailureKind;

use crate::access::{Access, gate};
use crate::metrics::Metrics;
use crate::runs::Runs;
use crate::traces::Traces;
use crate::webhooks::Webhooks;

pub use crate::problem::ApiProblem;
pub use openapi::document;
pub use serve::{ListenError, check_listen, is_public, serve};

/// The routes of the server. All but the open ones are behind the gate, the unknown ones, too. Of those, one
/// takes what is signed by a secret.
pub fn router(state: ApiState) -> Router {
    let open = Router::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/openapi.json", get(openapi::serve))
        .route("/webhooks/github", post(webhooks::github))
        .method_not_allowed_fallback(wrong_method);
    let gated = Router::new()
        .route("/code", post(handlers::code))
        .route("/v1/runs", get(lists::runs).post(handlers::create))
        .route("/v1/runs/{id}", get(handlers::run))
        .route("/v1/runs/{id}/events", get(streams::events))
        .route("/v1/runs/{id}/stream", get(streams::stream))
        .route("/v1/runs/{id}/patch", get(handlers::patch))
        .route("/v1/runs/{id}/cancel", post(handlers::cancel))
        .route("/v1/runs/{id}/messages", post(messages::say))
        .route("/v1/audit", get(lists::audit))
        .route("/v1/version", get(status::version))
        .route("/metrics", get(status::metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.config.access.clone(), gate));
    headers::with_cors(open.merge(gated), &state.config.allowed_origins)
        .layer(from_fn_with_state(state.clone(), guard::check_origin))
        .layer(from_fn(headers::harden))
        .with_state(state)
}

/// What the handlers share. Cloning it is cheap.
#[derive(Clone)]
pub struct ApiState {
    runs: Runs,
    listen: SocketAddr,
    config: Arc<ApiConfig>,
}

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Host names, beside IP addresses and `localhost`, by which this server may be called. Any
    /// other name may be an attacker's that resolves to this machine.
    pub allowed_hosts: Vec<String>,
    /// The origins of pages of other sites that may call, such as `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// Who may call, and how often.
    pub access: Access,
    /// The most bytes of a request's body.
    pub max_body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often a quiet stream gets a comment, which keeps proxies from closing it.
    pub heartbeat: Duration,
    /// What is counted.
    pub metrics: Metrics,
    /// What is traced.
    pub traces: Traces,
    /// Whose webhooks are taken.
    pub webhooks: Webhooks,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            access: Access::open(),
            max_body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(15),
            heartbeat: Duration::from_secs(15),
            metrics: Metrics::default(),
            traces: Traces::default(),
            webhooks: Webhooks::default(),
        }
    }
}

impl ApiState {
    /// The state of a server that listens on `listen` and takes bodies of `max_body_bytes`.
    #[must_use]
    pub fn new(runs: Runs, listen: SocketAddr, max_body_bytes: usize) -> Self {
        let config = ApiConfig {
            max_body_bytes,
            ..ApiConfig::default()
        };
        Self::with_config(runs, listen, config)
    }

    /// Like [`ApiState::new`], with everything said.
    #[must_use]
    pub fn with_config(runs: Runs, listen: SocketAddr, config: ApiConfig) -> Self {
        Self {
            runs,
            listen,
            config: Arc::new(config),
        }
    }
}

async fn unknown_route(uri: Uri) -> ApiProblem {
    ApiProblem::new(
        StatusCode::NOT_FOUND,
        FailureKind::BadRequest,
        format!(
            "there is no `{}` here; runs start with POST /code",
            uri.path()
        ),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiProblem {
    ApiProblem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        FailureKind::BadRequest,
        format!(
            "`{}` does not take {method}; see the Allow header",
            uri.path()
        ),
    )
}

//! What every answer says to browsers and caches.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::CorsLayer;

/// How long a browser need not ask again whether a page may call.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// What answers say unless they say it themselves: a browser that is led to one shows nothing of it as a
/// page, guesses no other type, tells nobody where it was, and keeps no copy.
const HARDENED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HARDENED {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets the pages of `origins`, and no others, call from a browser. A browser sends an API key along only
/// where the page itself says it.
pub(super) fn with_cors<S>(router: Router<S>, origins: &[String]) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    match origins {
        [] => router,
        origins => router.layer(cors(origins)),
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| origin.parse().ok());
    let [idempotency_key, last_event_id, forge_token, run_id] = [
        "idempotency-key",
        "last-event-id",
        "x-forge-token",
        "x-run-id",
    ]
    .map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<HeaderValue>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            idempotency_key,
            last_event_id,
            forge_token,
        ])
        .expose_headers([header::LINK, header::LOCATION, header::RETRY_AFTER, run_id])
        .max_age(PREFLIGHT_AGE)
}

//! GitHub's API as far as a run needs it, which can be told to repeat what it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::TOKEN;

/// A running one.
pub(super) struct Github {
    pub(super) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    echoes: AtomicBool,
    was_authorized: AtomicBool,
}

impl Github {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap| {
            let shared = Arc::clone(&shared);
            async move { shared.answer(&format!("{method} {}", uri.path()), &headers) }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    /// From now on, pull requests are refused with all that was sent.
    pub(super) fn echo(&self) {
        self.state.echoes.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_authorized(&self) -> bool {
        self.state.was_authorized.load(Ordering::Relaxed)
    }
}

impl State {
    fn answer(&self, asked: &str, headers: &HeaderMap) -> Response {
        let sent = headers.get("authorization");
        let sent = sent.map_or("nothing", |value| value.to_str().unwrap());
        let is_token = sent == format!("Bearer {TOKEN}");
        self.was_authorized.fetch_or(is_token, Ordering::Relaxed);
        match asked {
            "GET /repos/owner/project/installation" => {
                let rights = json!({"contents": "write", "issues": "write", "metadata": "read",
                    "pull_requests": "write", "checks": "write"});
                ok(json!({"id": 99, "permissions": rights}))
            }
            "POST /app/installations/99/access_tokens" => {
                let granted = json!({"token": TOKEN, "expires_at": "2099-01-01T00:00:00Z"});
                (StatusCode::CREATED, granted.to_string()).into_response()
            }
            _ if !is_token => {
                let message = json!({"message": format!("Bad credentials: {sent}")});
                (StatusCode::UNAUTHORIZED, message.to_string()).into_response()
            }
            "GET /repos/owner/project" => ok(json!({"full_name": "owner/project",
                "default_branch": "main", "private": true, "permissions": {"push": true}})),
            "GET /repos/owner/project/pulls" => ok(json!([])),
            "POST /repos/owner/project/pulls" if self.echoes.load(Ordering::Relaxed) => {
                let message = json!({"message": format!("Bad credentials: {sent}"),
                    "documentation_url": format!("https://docs.github.com/?q={TOKEN}")});
                (StatusCode::UNAUTHORIZED, message.to_string()).into_response()
            }
            "POST /repos/owner/project/pulls" => {
                let end = json!({"ref": "main", "repo": {"full_name": "owner/project"}});
                let pull = json!({"number": 7, "html_url": "https://github.com/owner/project/pull/7",
                    "title": "t", "state": "open", "head": end, "base": end});
                (StatusCode::CREATED, pull.to_string()).into_response()
            }
            _ => (
                StatusCode::NOT_FOUND,
                json!({"message": "Not Found"}).to_string(),
            )
                .into_response(),
        }
    }
}

fn ok(body: Value) -> Response {
    (StatusCode::OK, body.to_string()).into_response()
}

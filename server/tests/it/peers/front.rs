//! One address before both sides of a forge: git's requests go to git, all others to the API.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, http::header};
use tokio::net::TcpListener;

/// A request of these tests is smaller.
const MOST_BYTES: usize = 64 << 20;

/// An address that is taken, and perhaps served.
pub(crate) struct Front {
    address: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
}

struct Sides {
    api: String,
    git: String,
    client: reqwest::Client,
}

impl Front {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener: Mutex::new(Some(listener)),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn serve(&self, api: String, git: String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let sides = Arc::new(Sides { api, git, client });
        let router = Router::new().fallback(pass).with_state(sides);
        let listener = self.listener.lock().unwrap().take().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
}

async fn pass(State(sides): State<Arc<Sides>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let side = if target.contains(".git/") {
        &sides.git
    } else {
        &sides.api
    };
    let body = to_bytes(body, MOST_BYTES).await.unwrap();
    let mut headers = parts.headers;
    for hop in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(hop);
    }
    let sent = sides
        .client
        .request(parts.method, format!("{side}{target}"));
    let Ok(answer) = sent.headers(headers).body(body).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}

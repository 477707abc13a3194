//! A server that answers whatever a case wants it to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// The largest request body, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request, as far as a case looks at it.
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) body: Bytes,
}

type Answer = dyn Fn(&Asked) -> Response + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    asked: Mutex<Vec<String>>,
}

pub(super) struct Liar {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    pub(super) async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            asked: Mutex::default(),
        });
        let app = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/owner/repo.git", self.address)
    }

    /// The paths that were asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().to_string();
    shared.asked.lock().unwrap().push(path.clone());
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap();
    (shared.answer)(&Asked { path, body })
}

/// A line as git frames it.
pub(super) fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// What a smart server answers.
pub(super) fn smart(kind: &str, body: impl Into<Body>) -> Response {
    let kind = format!("application/x-git-upload-pack-{kind}");
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// The greeting of a server that speaks protocol 2, with these capabilities.
pub(super) fn greeting(capabilities: &[&str]) -> Response {
    let mut body = line("# service=git-upload-pack\n");
    body.extend(b"0000");
    body.extend(line("version 2\n"));
    for capability in capabilities {
        body.extend(line(format!("{capability}\n")));
    }
    body.extend(b"0000");
    smart("advertisement", body)
}

/// A branch `main` at a commit that nobody has.
pub(super) fn one_branch() -> Response {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let mut body = line(format!("{commit} HEAD symref-target:refs/heads/main\n"));
    body.extend(line(format!("{commit} refs/heads/main\n")));
    body.extend(b"0000");
    smart("result", body)
}

pub(super) fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

//! A real HTTP server on loopback that answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use tokio::sync::Notify;
use url::Url;

/// Often enough that no wait for the next one ends.
const PING_INTERVAL: std::time::Duration = std::time::Duration::from_millis(20);

/// How an answer goes on after its pieces.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    Good,
    Cut,
    Hang,
    /// It says that it is alive for ever.
    Ping,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) ending: Ending,
}

impl Answer {
    pub(crate) fn stream(bytes: Vec<u8>) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", "text/event-stream".into()),
                ("request-id", "req_1".into()),
            ],
            pieces: vec![bytes],
            ending: Ending::Good,
        }
    }

    pub(crate) fn error(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            pieces: vec![body.to_string().into_bytes()],
            ending: Ending::Good,
        }
    }
}

pub(crate) struct Request {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    gone: Notify,
}

pub(crate) struct Server {
    pub(crate) url: Url,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let shared = Arc::new(Shared {
            answers: Mutex::new(answers.into()),
            ..Shared::default()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
        let counting = Arc::clone(&shared);
        let listener = listener.tap_io(move |stream| {
            // Small pieces must not wait for the client's acknowledgement.
            stream.set_nodelay(true).unwrap();
            counting.connections.fetch_add(1, Ordering::SeqCst);
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// Completes when a client closed the connection of a hanging answer.
    pub(crate) async fn client_gone(&self) {
        self.shared.gone.notified().await;
    }
}

struct NotifyOnDrop(Arc<Shared>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.gone.notify_one();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Infallible> {
    shared
        .requests
        .lock()
        .unwrap()
        .push(Request { uri, headers, body });
    let answer = shared
        .answers
        .lock()
        .unwrap()
        .pop_front()
        .expect("one request too many");
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let pieces = answer
        .pieces
        .into_iter()
        .map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    let pieces = futures_util::stream::iter(pieces);
    let body = match answer.ending {
        Ending::Good => Body::from_stream(pieces),
        Ending::Cut => Body::from_stream(pieces.chain(futures_util::stream::once(async {
            // The pieces must be on their way before the connection breaks.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("cut"))
        }))),
        Ending::Ping => {
            let alive = tokio::time::interval(PING_INTERVAL);
            let pings = futures_util::stream::unfold(alive, async |mut alive| {
                alive.tick().await;
                Some((Ok(Bytes::from_static(b": ping\n\n")), alive))
            });
            Body::from_stream(pieces.chain(pings))
        }
        Ending::Hang => {
            let guard = NotifyOnDrop(Arc::clone(&shared));
            Body::from_stream(pieces.chain(futures_util::stream::once(async move {
                let _guard = guard;
                std::future::pending::<Result<Bytes, std::io::Error>>().await
            })))
        }
    };
    Ok(response.body(body).unwrap())
}

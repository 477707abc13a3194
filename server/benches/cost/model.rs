//! A model server that answers at once, and notes when it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use axum::serve::Listener;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::sample::Sample;

/// The largest request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The first command of a run shows what it runs in, the others are what is measured.
const FIRST_COMMAND: &str = "shopt -q login_shell && echo login shell, || echo no login shell,; \
                             tr '\\0' ' ' < /proc/$PPID/cmdline";
pub(crate) const COMMAND: &str = "echo hi";

/// A server in a thread of its own.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    calls: usize,
    connections: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

/// One request and its answer.
struct Exchange {
    arrived: Instant,
    answered: Instant,
    body: Bytes,
}

impl Model {
    /// Answers so many requests with a tool call each, and the next one with a last word.
    pub(crate) fn start(calls: usize) -> Self {
        let seen = Arc::new(Seen {
            calls,
            connections: AtomicUsize::new(0),
            exchanges: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(serve(listener, shared));
        });
        Self { address, seen }
    }

    /// The time from each answer to the next request: everything but the model. The first two have
    /// a command of their own and cold caches.
    pub(crate) fn gaps(&self) -> Sample {
        let exchanges = self.seen.exchanges.lock().unwrap();
        let gap = |pair: &[Exchange]| pair[1].arrived - pair[0].answered;
        exchanges.windows(2).skip(2).map(gap).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// The bodies of all requests.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        let exchanges = self.seen.exchanges.lock().unwrap();
        exchanges.iter().map(|one| one.body.clone()).collect()
    }
}

async fn serve(listener: std::net::TcpListener, seen: Arc<Seen>) {
    let listener = Counting {
        listener: TcpListener::from_std(listener).unwrap(),
        seen: Arc::clone(&seen),
    };
    let router = Router::new()
        .route("/v1/messages", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(seen);
    axum::serve(listener, router).await.unwrap();
}

/// Counts the connections it accepts.
struct Counting {
    listener: TcpListener,
    seen: Arc<Seen>,
}

impl Listener for Counting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        self.seen.connections.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true).unwrap();
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Listener::local_addr(&self.listener)
    }
}

async fn answer(State(seen): State<Arc<Seen>>, body: Bytes) -> Response {
    let arrived = Instant::now();
    let mut exchanges = seen.exchanges.lock().unwrap();
    let number = exchanges.len();
    let events = match number < seen.calls {
        true => call(number),
        false => last_word(),
    };
    exchanges.push(Exchange {
        arrived,
        answered: Instant::now(),
        body,
    });
    let pieces = events.into_iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        Ok::<_, std::convert::Infallible>(format!("event: {name}\ndata: {event}\n\n"))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap()
}

/// The reply to request `number`: a sentence and a command.
fn call(number: usize) -> Vec<Value> {
    let command = if number == 0 { FIRST_COMMAND } else { COMMAND };
    let arguments = json!({"command": command}).to_string();
    let (head, tail) = arguments.split_at(arguments.len() / 2);
    let id = call_id(number);
    let mut events = vec![start(number)];
    events.extend(block(
        0,
        json!({"type": "text", "text": ""}),
        vec![json!({"type": "text_delta", "text": "Once more."})],
    ));
    let piece = |json: &str| json!({"type": "input_json_delta", "partial_json": json});
    events.extend(block(
        1,
        json!({"type": "tool_use", "id": id, "name": "bash", "input": {}}),
        vec![piece(""), piece(head), piece(tail)],
    ));
    events.extend(end("tool_use"));
    events
}

fn last_word() -> Vec<Value> {
    let mut events = vec![start(0)];
    events.extend(block(
        0,
        json!({"type": "text", "text": ""}),
        vec![json!({"type": "text_delta", "text": "Nothing to change."})],
    ));
    events.extend(end("end_turn"));
    events
}

pub(crate) fn call_id(number: usize) -> String {
    format!("toolu_{number:024}")
}

fn start(number: usize) -> Value {
    json!({"type": "message_start", "message": {
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "content": [],
        "model": "bench", "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }})
}

fn block(index: usize, content: Value, deltas: Vec<Value>) -> Vec<Value> {
    let start = json!({"type": "content_block_start", "index": index, "content_block": content});
    let stop = json!({"type": "content_block_stop", "index": index});
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    std::iter::once(start).chain(deltas).chain([stop]).collect()
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "usage": {"output_tokens": 10},
            "delta": {"stop_reason": reason, "stop_sequence": null}}),
        json!({"type": "message_stop"}),
    ]
}

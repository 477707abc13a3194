//! A model that streams over HTTP, as a careful one would work: of a turn whose calls were interrupted it
//! looks again, which here means that it plays the turn once more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the answer to a call says that nobody knows the end of.
const INTERRUPTED: &str = "This call was interrupted";

/// What a model is told whose changes may be lost.
const LOST: &str = "The sandbox was lost";

/// A turn: what is said, and what is called.
pub(super) struct Turn {
    pub(super) text: &'static str,
    pub(super) calls: Vec<(&'static str, Value)>,
}

/// A running model.
pub(super) struct Model {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

struct Play {
    turns: Vec<Turn>,
    asked: Arc<AtomicUsize>,
}

impl Model {
    /// A model that plays these turns.
    pub(super) async fn start(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let play = Play {
            turns,
            asked: Arc::clone(&asked),
        };
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::new(play));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How often it was asked for a reply.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(State(play): State<Arc<Play>>, Json(request): Json<Value>) -> Response {
    let number = play.asked.fetch_add(1, Ordering::SeqCst);
    let turn = turns_played(request["messages"].as_array().unwrap());
    let body = stream(number, &play.turns[turn]);
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// How many turns of the model the conversation holds that need no other go.
fn turns_played(messages: &[Value]) -> usize {
    let is_lost = |message: &Value| message["content"].to_string().contains(LOST);
    let first = messages.iter().rposition(is_lost).unwrap_or(0);
    let messages = &messages[first..];
    let is_of = |role: &'static str| move |message: &&Value| message["role"] == role;
    let starts = (0..messages.len()).filter(|at| is_of("assistant")(&&messages[*at]));
    let played = starts.filter(|at| {
        let mut results = messages[at + 1..].iter().take_while(is_of("tool"));
        !results.any(|result| result["content"].to_string().contains(INTERRUPTED))
    });
    played.count()
}

fn stream(number: usize, turn: &Turn) -> String {
    let words = turn.text.split_inclusive(' ');
    let mut deltas: Vec<Value> = words.map(|word| json!({ "content": word })).collect();
    deltas.extend(turn.calls.iter().enumerate().map(|(index, (name, arguments))| {
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        let id = format!("call_{number}_{index}");
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] })
    }));
    let reason = match turn.calls.is_empty() {
        true => "stop",
        false => "tool_calls",
    };
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = json!({ "id": "chat", "object": "chat.completion.chunk", "model": "careful", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let body: String = deltas
        .into_iter()
        .map(|delta| chunk(delta, Value::Null))
        .collect();
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
    let last = json!({ "id": "chat", "object": "chat.completion.chunk", "model": "careful", "choices": [], "usage": usage });
    let end = chunk(json!({}), json!(reason));
    format!("{body}{end}data: {last}\n\ndata: [DONE]\n\n")
}

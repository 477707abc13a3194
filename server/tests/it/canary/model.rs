//! A model over HTTP that looks for secrets around it, makes an edit and says so.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Shows it what a program inside of the sandbox can see.
const SNOOP: &str = "env; git config --list; cat .git/config; cat /proc/*/environ /proc/*/cmdline 2>/dev/null \
    | tr '\\0' '\\n'; find / -xdev -newer README.md -size -64k -type f 2>/dev/null | head -50; true";

/// A running one.
pub(super) struct Model {
    pub(super) url: String,
    /// All that it was sent, headers too.
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Model {
    /// `meanwhile` is called at each request, when everything of a run is there, with the number of the results of
    /// tools in it.
    pub(super) async fn start(meanwhile: impl Fn(usize) + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (shared, meanwhile) = (Arc::clone(&shared), meanwhile.clone());
            async move {
                shared
                    .lock()
                    .unwrap()
                    .extend([format!("{headers:?}").as_bytes(), &body].concat());
                // Which models there are is asked, too.
                let Ok(request) = serde_json::from_slice(&body) else {
                    return StatusCode::NOT_FOUND.into_response();
                };
                let results = results(&request);
                tokio::task::spawn_blocking(move || meanwhile(results))
                    .await
                    .unwrap();
                let events = [(header::CONTENT_TYPE, "text/event-stream")];
                (events, reply(results)).into_response()
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard }
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

fn results(request: &Value) -> usize {
    let said = request["messages"].as_array().unwrap();
    let results = said.iter().filter(|message| message["role"] == "tool");
    results.count()
}

fn reply(results: usize) -> String {
    let (delta, end) = match results {
        0 => (call("bash", &json!({"command": SNOOP})), "tool_calls"),
        1 => {
            let edit = json!({"path": "src/greeting.txt", "old_str": "hello", "new_str": "hi"});
            (call("edit", &edit), "tool_calls")
        }
        _ => (json!({"content": "Greet shortly"}), "stop"),
    };
    let chunk = |delta: &Value, end: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": end});
        format!("data: {}\n\n", json!({"id": "c", "choices": [choice]}))
    };
    let end = chunk(&json!({}), Some(end));
    format!("{}{end}data: [DONE]\n\n", chunk(&delta, None))
}

fn call(name: &str, arguments: &Value) -> Value {
    let function = json!({"name": name, "arguments": arguments.to_string()});
    let id = format!("call_{name}");
    json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]})
}

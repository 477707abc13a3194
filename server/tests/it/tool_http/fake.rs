//! An MCP server over HTTP, good or bad as a test wants it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Which tool does what is said in [`react`].
const TOOLS: &[&str] = &[
    "echo", "forget", "hang", "endless", "redirect", "event", "headers", "refuse", "junk",
    "broken", "flood",
];

/// How the server begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// With a handshake and a session.
    Legacy,
    /// Without either.
    Modern,
    /// With a handshake; `server/discover` is never answered.
    Silent,
    /// Answers nothing at all.
    Mute,
}

/// It ends with its value, open connections included, as a process does.
pub(crate) struct FakeHttp {
    pub(crate) url: String,
    state: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    era: Era,
    heard: Mutex<Heard>,
    news: Notify,
}

#[derive(Default)]
struct Heard {
    requests: Vec<(Method, HeaderMap, Value)>,
    sessions: BTreeSet<String>,
    opened: usize,
    /// How many requests were dropped before they were answered.
    abandoned: usize,
}

impl FakeHttp {
    pub(crate) fn start(era: Era) -> Self {
        Self::listen(era, "127.0.0.1:0").unwrap()
    }

    /// Listens where another one did.
    pub(crate) fn start_at(era: Era, url: &str) -> std::io::Result<Self> {
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        Self::listen(era, address)
    }

    fn listen(era: Era, address: &str) -> std::io::Result<Self> {
        let state = Arc::new(Shared {
            era,
            heard: Mutex::default(),
            news: Notify::new(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let runtime = Runtime::new().unwrap();
        let (bound, address) = (address.to_owned(), std::sync::mpsc::channel());
        let (found, finds) = address;
        runtime.spawn(async move {
            let listener = TcpListener::bind(bound).await;
            let address = listener.as_ref().map(|listener| listener.local_addr());
            let address = address
                .map_err(|error| error.kind().into())
                .and_then(|address| address);
            found.send(address).unwrap();
            axum::serve(listener.unwrap(), router).await.unwrap();
        });
        let address = finds.recv().unwrap()?;
        Ok(Self {
            url: format!("http://{address}/mcp"),
            state,
            runtime: Some(runtime),
        })
    }

    /// The headers and bodies of the requests whose JSON-RPC method is this one.
    pub(crate) fn requests(&self, method: &str) -> Vec<(HeaderMap, Value)> {
        let heard = self.state.heard();
        let requests = heard.requests.iter();
        let named = requests.filter(|(_, _, body)| body["method"] == method);
        named
            .map(|(_, headers, body)| (headers.clone(), body.clone()))
            .collect()
    }

    /// The headers of every request so far, with its HTTP method.
    pub(crate) fn headers(&self) -> Vec<(Method, HeaderMap)> {
        let heard = self.state.heard();
        let requests = heard.requests.iter();
        requests
            .map(|(method, headers, _)| (method.clone(), headers.clone()))
            .collect()
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.state.heard().abandoned
    }

    pub(crate) fn sessions_opened(&self) -> usize {
        self.state.heard().opened
    }

    /// Waits until `wanted` is true.
    pub(crate) async fn until(&self, wanted: impl Fn(&Self) -> bool) {
        loop {
            let news = self.state.news.notified();
            if wanted(self) {
                return;
            }
            news.await;
        }
    }
}

impl Drop for FakeHttp {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }
}

/// Counts a request that its client gives up.
struct Abandoned(Arc<Shared>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.heard().abandoned += 1;
        self.0.news.notify_waiters();
    }
}

async fn answer(
    State(state): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let request = (method.clone(), headers.clone(), message.clone());
    state.heard().requests.push(request);
    state.news.notify_waiters();
    if state.era == Era::Mute {
        return hang(state).await;
    }
    if method == Method::DELETE {
        return StatusCode::OK.into_response();
    }
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let legacy = state.era != Era::Modern;
    let session = headers.get("mcp-session-id");
    let session = session.and_then(|session| session.to_str().ok());
    match message["method"].as_str() {
        Some("server/discover") if state.era == Era::Silent => hang(state).await,
        Some("server/discover") if legacy => {
            (StatusCode::BAD_REQUEST, "no session, no answer").into_response()
        }
        Some("server/discover") => reply(
            &message,
            json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private",
            }),
        ),
        Some("initialize") => {
            let session = open_session(&state);
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "fake", "version": "1" },
            });
            ([("mcp-session-id", session)], reply(&message, result)).into_response()
        }
        _ if legacy && !session.is_some_and(|id| state.heard().sessions.contains(id)) => {
            (StatusCode::NOT_FOUND, "no such session").into_response()
        }
        Some("tools/list") => {
            let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
            let tools: Vec<Value> = TOOLS.iter().map(tool).collect();
            reply(
                &message,
                json!({
                    "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private",
                }),
            )
        }
        Some("tools/call") => react(state, &message).await,
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn react(state: Arc<Shared>, message: &Value) -> Response {
    let endless = |first: &'static str, rest: &'static str| {
        let chunks = stream::unfold(first, move |chunk| async move {
            Some((
                Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes())),
                rest,
            ))
        });
        Body::from_stream(chunks)
    };
    const PIECE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    const FLOOD: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\
        \"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n";
    match message["params"]["name"].as_str().unwrap() {
        "forget" => {
            state.heard().sessions.clear();
            text(message, "forgotten")
        }
        "hang" => hang(state).await,
        "endless" => {
            let headers = [("content-type", "application/json")];
            (headers, endless("{\"jsonrpc\": \"", PIECE)).into_response()
        }
        "redirect" => {
            let location = "http://elsewhere.invalid/mcp?token=abcdef";
            (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
        }
        "event" => {
            let headers = [("content-type", "text/event-stream")];
            (headers, endless("data: ", PIECE)).into_response()
        }
        "flood" => {
            let headers = [("content-type", "text/event-stream")];
            let many: &'static str = FLOOD.repeat(500).leak();
            (headers, endless("", many)).into_response()
        }
        "headers" => {
            let mut response = text(message, "with many headers");
            for number in 0..500_u32 {
                let name = format!("x-many-{number}").parse::<axum::http::HeaderName>();
                response.headers_mut().insert(name.unwrap(), 1.into());
            }
            response
        }
        "refuse" => (StatusCode::UNAUTHORIZED, "who are you?").into_response(),
        "junk" => "<html>not what you think</html>".into_response(),
        "broken" => {
            let headers = [
                ("content-type", "application/json"),
                ("content-length", "1000"),
            ];
            (headers, "{").into_response()
        }
        _ => text(message, &message["params"]["arguments"].to_string()),
    }
}

async fn hang(state: Arc<Shared>) -> Response {
    let _abandoned = Abandoned(state);
    std::future::pending().await
}

fn open_session(state: &Shared) -> String {
    let mut heard = state.heard();
    heard.opened += 1;
    let session = format!("session-{}", heard.opened);
    heard.sessions.insert(session.clone());
    session
}

fn text(message: &Value, text: &str) -> Response {
    let content = json!([{ "type": "text", "text": text }]);
    reply(
        message,
        json!({ "resultType": "complete", "content": content }),
    )
}

fn reply(message: &Value, result: Value) -> Response {
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

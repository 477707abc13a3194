//! A loopback HTTP server that answers by a script, fails where the script says so, and remembers
//! what it was asked. It is written on a socket because a web framework cannot hang up half-way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is asked (`GET /path`, the query left out) and how it is answered.
pub(crate) type Step = (&'static str, Reply);

#[derive(Clone)]
pub(crate) enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Reads the request and hangs up.
    HangUp,
    /// Promises more than it sends, then hangs up.
    Truncated,
    /// Reads the request and stays silent.
    Silent,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

pub(crate) struct FaultServer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    seen: Vec<Seen>,
    complaints: Vec<String>,
}

pub(crate) fn ok(body: Value) -> Reply {
    status(200, body)
}

pub(crate) fn status(status: u16, body: Value) -> Reply {
    Reply::Answer(status, vec![], body.to_string())
}

pub(crate) fn with_headers(status: u16, headers: &[(&'static str, &str)], body: Value) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    Reply::Answer(status, headers.collect(), body.to_string())
}

impl FaultServer {
    pub(crate) async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, state }
    }

    /// What was asked. Fails when that is not exactly what the script expected.
    pub(crate) fn finish(self) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        assert_eq!(state.complaints, Vec::<String>::new());
        let left: Vec<&str> = state.script.iter().map(|(line, _)| *line).collect();
        assert!(left.is_empty(), "never asked: {left:?}");
        state.seen.clone()
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One request a connection: a peer that hangs up must not take others with it.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(seen) = read_request(&mut stream).await else {
        return;
    };
    let reply = next_reply(&state, seen);
    let written = match reply {
        Reply::HangUp => return,
        Reply::Silent => std::future::pending().await,
        Reply::Truncated => "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"number\":".to_owned(),
        Reply::Answer(status, headers, body) => {
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            format!(
                "HTTP/1.1 {status} x\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        }
    };
    let _ = stream.write_all(written.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn next_reply(state: &Mutex<State>, seen: Seen) -> Reply {
    let mut state = state.lock().unwrap();
    let line = seen.line.clone();
    if asks_for_rules(&line) {
        return status(404, json!({"message": "Not Found"}));
    }
    state.seen.push(seen);
    match state.script.pop_front() {
        Some((expected, reply)) if expected == line => reply,
        other => {
            let expected = other.map(|(line, _)| line);
            state
                .complaints
                .push(format!("expected {expected:?}, got {line}"));
            status(418, Value::Null)
        }
    }
}

/// What a server without rules for branches does not know. Such requests are beside what a script is about.
pub(crate) fn asks_for_rules(line: &str) -> bool {
    let Some(path) = line.strip_prefix("GET ") else {
        return false;
    };
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "repos", _, _, "branches", _] | [.., "repos", _, _, "rules", "branches", _]
    )
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut seen = Seen {
        line: format!("{method} {path}"),
        query: query.to_owned(),
        headers,
        body: Value::Null,
    };
    let length = seen
        .header("content-length")
        .map_or(0, |value| value.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    if length > 0 {
        seen.body = serde_json::from_slice(&bytes[head_end + 4..]).unwrap();
    }
    Some(seen)
}

/// Long enough that a test which waits for it has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(20);

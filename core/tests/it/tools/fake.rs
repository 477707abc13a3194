//! A tool server whose every word a test decides.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::tools::{Connector, ToolIo, ToolServerError};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How the server begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    Legacy,
    Modern,
    /// Of the older era, and silent about what it does not know.
    Silent,
    /// Of the older era, and ends over what it does not know.
    Touchy,
    /// Of the older era, and answers what it does not know with nothing in particular.
    Vague,
    /// Of the older era, and forgets whose request it refuses.
    Forgetful,
    /// Of the newer era, silent the first time, and slow to say so the second.
    Late,
}

/// What a call leads to.
pub(super) enum Reaction {
    /// These results, or errors, as JSON.
    Say(Vec<Value>),
    /// The server ends.
    Die,
    /// Nothing at all.
    Nothing,
}

pub(super) struct Plan {
    pub(super) era: Era,
    /// The pages of the list.
    pub(super) pages: Vec<Vec<Value>>,
    /// The cursor after the last page; none usually.
    pub(super) last_cursor: Option<String>,
    /// Whether every page has another one after it.
    pub(super) endless: bool,
    /// How many of the next openings fail.
    pub(super) failing_opens: usize,
    /// What the n-th call, from 0, leads to.
    pub(super) react: fn(usize, &Value) -> Reaction,
}

#[derive(Clone)]
pub(super) struct Fake(Arc<State>);

struct State {
    plan: Mutex<Plan>,
    opens: AtomicUsize,
    calls: AtomicUsize,
    heard: Mutex<Vec<Value>>,
    said: Mutex<Option<mpsc::UnboundedSender<Value>>>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            era: Era::Legacy,
            pages: vec![vec![tool("go")]],
            last_cursor: None,
            endless: false,
            failing_opens: 0,
            react: |_, call| Reaction::Say(vec![text(call, "done")]),
        }
    }
}

impl Fake {
    pub(super) fn new(plan: Plan) -> Self {
        Self(Arc::new(State {
            plan: Mutex::new(plan),
            opens: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            heard: Mutex::default(),
            said: Mutex::default(),
        }))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.lock().unwrap());
    }

    pub(super) fn opens(&self) -> usize {
        self.0.opens.load(Ordering::SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// The methods heard so far, answers as an empty one.
    pub(super) fn methods(&self) -> Vec<String> {
        let heard = self.0.heard.lock().unwrap();
        let method = |message: &Value| message["method"].as_str().unwrap_or_default().to_owned();
        heard.iter().map(method).collect()
    }

    /// The last message heard that `wanted` picks.
    pub(super) fn heard(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let heard = self.0.heard.lock().unwrap();
        heard.iter().rev().find(|message| wanted(message)).cloned()
    }

    /// Says something unasked.
    pub(super) fn say(&self, message: Value) {
        let said = self.0.said.lock().unwrap();
        said.as_ref().unwrap().send(message).unwrap();
    }
}

#[async_trait]
impl Connector for Fake {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        self.0.opens.fetch_add(1, Ordering::SeqCst);
        {
            let mut plan = self.0.plan.lock().unwrap();
            if plan.failing_opens > 0 {
                plan.failing_opens -= 1;
                return Err(ToolServerError::Startup {
                    name: "fake".to_owned(),
                    reason: "it does not start".to_owned(),
                });
            }
        }
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let task = tokio::spawn(serve(Arc::clone(&self.0), theirs));
        let (read, write) = tokio::io::split(ours);
        Ok(ToolIo::bytes(read, write, Guard(task)))
    }
}

struct Guard(JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(state: Arc<State>, stream: DuplexStream) {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    let (say, mut said) = mpsc::unbounded_channel::<Value>();
    *state.said.lock().unwrap() = Some(say);
    loop {
        let answers = tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return };
                let message: Value = serde_json::from_str(&line).unwrap();
                state.heard.lock().unwrap().push(message.clone());
                if message["method"] == "server/discover" && state.is_slow() {
                    tokio::time::sleep(SLOW).await;
                }
                match state.answer(&message) {
                    Some(answers) => answers,
                    None => return,
                }
            }
            message = said.recv() => vec![message.unwrap()],
        };
        for answer in answers {
            let line = format!("{answer}\n");
            if write.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Longer than a server whose era is open has for its answer.
const SLOW: Duration = Duration::from_millis(2500);

impl State {
    fn is_slow(&self) -> bool {
        let era = self.plan.lock().unwrap().era;
        era == Era::Late && self.opens.load(Ordering::SeqCst) > 1
    }

    /// The answers to a message; nothing when the server ends over it.
    fn answer(&self, message: &Value) -> Option<Vec<Value>> {
        let plan = self.plan.lock().unwrap();
        let late = plan.era == Era::Late && self.opens.load(Ordering::SeqCst) == 1;
        let answer = |result| Some(vec![reply(message, result)]);
        match (message["method"].as_str(), plan.era) {
            (Some("server/discover"), Era::Late) if late => Some(Vec::new()),
            (Some("server/discover"), Era::Modern | Era::Late) => answer(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": { "listChanged": true } },
                "ttlMs": 0, "cacheScope": "private",
            })),
            (Some("server/discover"), Era::Silent) => Some(Vec::new()),
            (Some("server/discover"), Era::Touchy) => None,
            (Some("server/discover"), Era::Vague) => answer(json!({})),
            (Some("server/discover"), Era::Forgetful) => Some(vec![json!({
                "jsonrpc": "2.0", "id": "server-error",
                "error": { "code": -32600, "message": "what?" },
            })]),
            (
                Some("initialize"),
                Era::Legacy | Era::Silent | Era::Touchy | Era::Vague | Era::Forgetful,
            ) => answer(json!({
                "protocolVersion": "2025-11-25",
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "fake", "version": "1" },
            })),
            (Some("subscriptions/listen"), _) => Some(vec![json!({
                "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {
                    "notifications": { "toolsListChanged": true },
                    "_meta": { "io.modelcontextprotocol/subscriptionId": message["id"] },
                },
            })]),
            (Some("tools/list"), _) => answer(plan.page(message)),
            (Some("tools/call"), _) => {
                let number = self.calls.fetch_add(1, Ordering::SeqCst);
                match (plan.react)(number, message) {
                    Reaction::Say(answers) => Some(answers),
                    Reaction::Die => None,
                    Reaction::Nothing => Some(Vec::new()),
                }
            }
            (Some(_), _) if message["id"].is_null() => Some(Vec::new()),
            (Some(method), _) => Some(vec![json!({
                "jsonrpc": "2.0", "id": message["id"],
                "error": { "code": -32601, "message": format!("no method {method}") },
            })]),
            // An answer to a request of ours: the call it belongs to is answered with its error.
            (None, _) => Some(vec![json!({
                "jsonrpc": "2.0", "id": self.last_call(),
                "result": { "content": [{ "type": "text", "text": message["error"]["message"] }] },
            })]),
        }
    }

    fn last_call(&self) -> Value {
        let heard = self.heard.lock().unwrap();
        let is_call = |message: &&Value| message["method"] == "tools/call";
        let call = heard.iter().rev().find(is_call);
        call.map_or(Value::Null, |call| call["id"].clone())
    }
}

impl Plan {
    fn page(&self, message: &Value) -> Value {
        let cursor = message["params"]["cursor"].as_str();
        let number: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap_or(0));
        let tools = self.pages.get(number).cloned().unwrap_or_default();
        let mut page = json!({
            "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private",
        });
        let more = self.endless || number + 1 < self.pages.len();
        let next = more.then(|| (number + 1).to_string());
        if let Some(next) = next.or_else(|| self.last_cursor.clone()) {
            page["nextCursor"] = json!(next);
        }
        page
    }
}

pub(super) fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("Does {name}"), "inputSchema": { "type": "object" } })
}

pub(super) fn reply(message: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

pub(super) fn text(call: &Value, text: &str) -> Value {
    let content = json!([{ "type": "text", "text": text }]);
    reply(
        call,
        json!({ "resultType": "complete", "content": content }),
    )
}

/// The notice that the list of tools is another.
pub(super) fn list_changed() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" })
}

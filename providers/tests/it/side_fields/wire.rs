//! One wire format, whose side fields are replaced by what they should not be.

use std::sync::Arc;

use pullwright_protocol::Content;
use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_providers::Provider;
use serde_json::{Value, json};
use url::Url;

use crate::http_server::Ending;
use crate::streams::over_http;

/// One value of each type, and some that are nearly right.
fn others() -> Vec<Value> {
    let all = json!([
        null, true, -1, 7, 1.5, 12.0, "12", "none", [], [1], [{}], {}, { "a": 1 }
    ]);
    all.as_array().unwrap().clone()
}

/// As many as the many events of recordings can be tried with.
fn few_others() -> Vec<Value> {
    vec![json!(true), json!(1.5), json!("none"), json!([]), json!({})]
}

/// One wire format.
pub(super) struct Wire {
    pub(super) open: fn(Url) -> Arc<dyn Provider>,
    pub(super) frames: fn(&[Value]) -> Vec<u8>,
    /// Which part of a stream is an event.
    pub(super) frame: &'static str,
    /// The keys of side fields, wherever they are.
    pub(super) sides: &'static [&'static str],
    /// Whose values are not looked into.
    pub(super) closed: &'static [&'static str],
}

/// What must not be lost.
#[derive(Debug, PartialEq)]
pub(super) struct Essence {
    text: String,
    calls: Vec<(String, String)>,
    pub(super) end: Result<StopReason, String>,
}

impl Essence {
    fn of(deltas: &[Delta]) -> Self {
        let mut essence = Self {
            text: String::new(),
            calls: Vec::new(),
            end: Err("no end".to_owned()),
        };
        for delta in deltas {
            match delta {
                Delta::Item { item } => match &item.content {
                    Content::Text { text } => essence.text += text,
                    Content::ToolCall(call) => {
                        let call = (call.name.clone(), call.arguments.clone());
                        essence.calls.push(call);
                    }
                    _ => {}
                },
                Delta::End { stop, .. } => essence.end = Ok(*stop),
                Delta::Error { error } => essence.end = Err(error.message.clone()),
                _ => {}
            }
        }
        essence
    }
}

impl Wire {
    /// Each side field of each event with each value, one after the other.
    fn disturbed(&self, events: &[Value]) -> Vec<(String, Vec<Value>)> {
        let mut all = Vec::new();
        for (place, event) in events.iter().enumerate() {
            for path in self.paths(event, "") {
                for other in others() {
                    // A refusal in words is one.
                    if path.ends_with("/refusal") && other.is_string() {
                        continue;
                    }
                    let mut events = events.to_vec();
                    let name = format!("event {place}, {path} is {other}");
                    *events[place].pointer_mut(&path).unwrap() = other;
                    all.push((name, events));
                }
            }
        }
        all
    }

    /// All side fields of all events with `other`.
    fn all_replaced(&self, events: &[Value], other: &Value) -> Vec<Value> {
        let mut events = events.to_vec();
        for event in &mut events {
            let paths = self.paths(event, "").into_iter();
            for path in paths.filter(|path| !path.ends_with("/refusal")) {
                // The field may be in one that is replaced already.
                if let Some(field) = event.pointer_mut(&path) {
                    *field = other.clone();
                }
            }
        }
        events
    }

    fn paths(&self, value: &Value, path: &str) -> Vec<String> {
        let mut paths = Vec::new();
        let fields: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v)).collect(),
            Value::Array(list) => (0..).map(|n: usize| n.to_string()).zip(list).collect(),
            _ => Vec::new(),
        };
        for (key, value) in fields {
            let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            if self.sides.contains(&key.as_str()) {
                paths.push(path.clone());
            }
            if !self.closed.contains(&key.as_str()) {
                paths.extend(self.paths(value, &path));
            }
        }
        paths
    }

    pub(super) async fn check_each(&self, events: &[Value]) {
        let disturbed = self.disturbed(events);
        assert!(disturbed.len() > 100, "the fields are not found");
        let names = disturbed.iter().map(|(name, _)| name.clone());
        let names: Vec<String> = names.collect();
        let all = std::iter::once(events.to_vec()).chain(disturbed.into_iter().map(|(_, e)| e));
        let replies = self.replies(all.collect()).await;
        let whole = &replies[0];
        assert!(
            whole.end.is_ok() && whole.calls.len() == 1 && !whole.text.is_empty(),
            "{whole:?}"
        );
        for (name, reply) in names.iter().zip(&replies[1..]) {
            assert_eq!(reply, whole, "{name}");
        }
    }

    pub(super) async fn check_recording(&self, bytes: &[u8], name: &str) {
        let events = self.events(bytes);
        let all = few_others()
            .into_iter()
            .map(|other| self.all_replaced(&events, &other));
        let all = std::iter::once(events.clone()).chain(all);
        let replies = self.replies(all.collect()).await;
        for (reply, other) in replies[1..].iter().zip(few_others()) {
            assert_eq!(reply, &replies[0], "{name}, all are {other}");
        }
    }

    pub(super) async fn replies(&self, streams: Vec<Vec<Value>>) -> Vec<Essence> {
        let streams = streams
            .iter()
            .map(|events| (vec![(self.frames)(events)], Ending::Good));
        let replies = over_http(self.open, streams.collect()).await;
        replies.iter().map(|deltas| Essence::of(deltas)).collect()
    }

    fn events(&self, bytes: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        let data = text
            .lines()
            .filter_map(|line| line.strip_prefix(self.frame))
            .map(str::trim);
        let data = data.filter(|data| !data.is_empty() && *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

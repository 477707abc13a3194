//! Takes out of a text what differs between two equal runs.

use serde_json::{Map, Value};

use super::lab::Lab;
use pullwright_protocol::RunId;

/// The shortest row of hexadecimal digits that is taken for a hash, in characters.
const MIN_HASH_CHARS: usize = 12;

/// Keys whose values are times, or belong to the place where the run happened.
const VOLATILE: &[(&str, &str)] = &[
    ("durationMs", "<ms>"),
    ("duration_ms", "<ms>"),
    ("at_ms", "<ms>"),
    ("uid", "<uid>"),
];

/// Redacts JSON.
pub(super) fn redact(lab: &Lab, run: &RunId, value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact_text(lab, run, text)),
        Value::Array(items) => items.iter().map(|item| redact(lab, run, item)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(key, value)| (key.clone(), field(lab, run, key, value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn field(lab: &Lab, run: &RunId, key: &str, value: &Value) -> Value {
    match VOLATILE.iter().find(|(volatile, _)| *volatile == key) {
        Some((_, shown)) if !value.is_null() => Value::from(*shown),
        _ => redact(lab, run, value),
    }
}

/// Redacts text: the run's id, hashes, paths and ports.
pub(super) fn redact_text(lab: &Lab, run: &RunId, text: &str) -> String {
    let text = text
        .replace(&run.0, "<run>")
        .replace(run.short(), "<run>")
        .replace(&lab.path.display().to_string(), "<lab>")
        .replace(&lab.origin, "http://<host>")
        .replace(&lab.host(), "<host>");
    hide_hashes(&text)
}

fn hide_hashes(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            digits.push(c);
            continue;
        }
        match digits.len() < MIN_HASH_CHARS {
            true => shown.push_str(&digits),
            false => shown.push_str("<hash>"),
        }
        digits.clear();
        if c != '\0' {
            shown.push(c);
        }
    }
    shown
}

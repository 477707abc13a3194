//! A trace as text: spans below their parents, in the order of time.

use std::collections::BTreeMap;
use std::fmt::Write;

use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use serde_json::Value;

use super::collector::{Spans, attributes};

/// Values that are another in each run or release.
const VOLATILE: [&str; 5] = [
    "gen_ai.agent.version",
    "gen_ai.conversation.id",
    "gen_ai.tool.call.id",
    "vcs.repository.url.full",
    "vcs.ref.head.revision",
];

pub(super) fn outline(spans: &Spans) -> String {
    let mut text = String::new();
    below(spans, &[], 0, &mut text);
    let shown = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('.'))
        .count();
    assert_eq!(shown, spans.all().len(), "a span has no parent:\n{text}");
    text
}

fn below(spans: &Spans, parent: &[u8], depth: usize, text: &mut String) {
    let children = spans
        .all()
        .iter()
        .filter(|span| span.parent_span_id == parent);
    let mut children: Vec<&Span> = children.collect();
    // Of those that start in the same millisecond, the first to end came first.
    children.sort_by_key(|span| span.start_time_unix_nano);
    for span in children {
        let indent = "  ".repeat(depth);
        let _ = writeln!(text, "{indent}{}{}", span.name, failure(span));
        describe(span, &indent, text);
        below(spans, &span.span_id, depth + 1, text);
    }
}

fn describe(span: &Span, indent: &str, text: &mut String) {
    for (key, value) in attributes(&span.attributes) {
        let _ = writeln!(text, "{indent}  .{key} {}", shown(&key, &value));
    }
    for event in &span.events {
        let attributes: BTreeMap<String, Value> = attributes(&event.attributes);
        let attributes: Vec<String> = attributes
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        let _ = writeln!(
            text,
            "{indent}  .event {} {}",
            event.name,
            attributes.join(" ")
        );
    }
}

fn failure(span: &Span) -> &'static str {
    let code = span.status.as_ref().map(|status| status.code);
    match code {
        Some(code) if code == StatusCode::Error as i32 => " (error)",
        _ => "",
    }
}

fn shown(key: &str, value: &Value) -> String {
    match VOLATILE.contains(&key) {
        true => "…".to_owned(),
        false => value.to_string(),
    }
}

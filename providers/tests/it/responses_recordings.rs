//! Every recorded Responses stream, over HTTP and in all cuttings, against what it holds.

use std::path::{Path, PathBuf};

use pullwright_protocol::provider::{Delta, StopReason, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::{error, items};
use crate::http_server::Ending;
use crate::openai_stream::{new_responses_reply, open_responses, play_responses};
use crate::recordings::{expectation, files};
use crate::streams::{check_text, cuttings, disturbed, end_of, over_http, streamed};

pub(crate) fn streams() -> Vec<PathBuf> {
    files("openai-responses", |name| {
        (name.ends_with(".sse") || name.ends_with(".chunks.txt")) && !name.contains(BROKEN)
    })
}

/// The events of one recording are no JSON, for want of a brace.
const BROKEN: &str = "parallel-tool-call-wrapper";

/// The stream's bytes; a list of events is framed first. Of several responses, each of which was a
/// stream, what is expected is the last.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    if path.to_string_lossy().ends_with(".sse") {
        return text.into_bytes();
    }
    let mut frames = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let event: Value = serde_json::from_str(line).unwrap();
        let kind = event["type"].as_str().unwrap();
        if kind == "response.created" {
            frames.clear();
        }
        frames += &format!("event: {kind}\ndata: {line}\n\n");
    }
    frames.into_bytes()
}

#[tokio::test]
async fn recordings_yield_what_is_expected_in_every_cutting() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        let pieces = cuttings(&bytes).into_iter().chain(disturbed(&bytes, NOISE));
        let pieces = pieces.map(|pieces| (pieces, Ending::Good)).collect();
        let all = over_http(open_responses, pieces).await;
        check(&all[0], &bytes, &expectation(&path), &name);
        for other in &all[1..] {
            assert_eq!(other, &all[0], "{name}");
        }
    }
}

/// Comments and unknown events.
const NOISE: &str = ": a comment\n\nevent: response.brand_new\ndata: {\"type\":\"response.brand_new\",\"delta\":[1]}\n\nid: 7\nretry: 10\ndata: {\"brandNew\":1}\n\n";

fn is_end(_: &str, event: &Value) -> bool {
    event["type"] == "response.completed" || event["type"] == "response.incomplete"
}

#[test]
fn a_stream_cut_off_at_any_byte_has_no_end() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        let whole = end_of(&bytes, is_end);
        let mut reply = new_responses_reply();
        for (taken, byte) in bytes.iter().enumerate() {
            // The snapshots in these streams are long, so not every byte is looked at.
            if taken % 7 == 0 || taken.abs_diff(whole) < 3 {
                let ended = reply.clone().end(&mut Vec::new());
                assert_eq!(
                    ended.is_ok(),
                    taken >= whole,
                    "{name}: cut off at byte {taken}"
                );
                if let Err(error) = ended {
                    assert_eq!(
                        (error.kind, error.retryable),
                        (FailureKind::Transport, true)
                    );
                }
            }
            reply.push(&[*byte], &mut Vec::new()).unwrap();
        }
        assert_eq!(
            play_responses(&bytes, 1),
            play_responses(&bytes, usize::MAX),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_recording_that_is_no_json_is_an_error_worth_a_retry() {
    let broken = files("openai-responses", |name| {
        name.contains(BROKEN) && name.ends_with(".chunks.txt")
    });
    for path in broken {
        let text = std::fs::read_to_string(path).unwrap();
        let frames: String = text
            .lines()
            .map(|line| format!("data: {line}\n\n"))
            .collect();
        let stream = (vec![frames.into_bytes()], Ending::Good);
        let deltas = over_http(open_responses, vec![stream]).await;
        let error = error(&deltas[0]);
        assert_eq!(
            (error.kind, error.retryable),
            (FailureKind::Transport, true)
        );
        assert!(
            error.message.contains("makes no sense"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn a_connection_cut_off_anywhere_is_an_error_worth_a_retry() {
    const PLACES: usize = 8;
    for path in streams() {
        let bytes = bytes(&path);
        let whole = end_of(&bytes, is_end);
        let cuts = (0..PLACES).map(|place| bytes[..whole * place / PLACES].to_vec());
        let cuts = cuts.chain([bytes[..whole - 1].to_vec()]);
        let streams = cuts
            .flat_map(|cut| [Ending::Good, Ending::Cut].map(|ending| (vec![cut.clone()], ending)));
        for deltas in over_http(open_responses, streams.collect()).await {
            let error = error(&deltas);
            assert_eq!(
                (error.kind, error.retryable),
                (FailureKind::Transport, true)
            );
        }
    }
}

fn check(deltas: &[Delta], bytes: &[u8], expected: &Value, name: &str) {
    check_usage(deltas, &expected["usage"], name);
    let items = items(deltas);
    check_end(deltas, &items, expected, name);
    let done = done(bytes);
    let came = |item: &Item| {
        let native = item.native.as_ref().unwrap().json.as_str();
        done.is_empty() || done.iter().any(|done| done == native)
    };
    let (came, at_the_end): (Vec<Item>, Vec<Item>) = items.into_iter().partition(came);
    check_missing(&at_the_end, &came, name);
    let items = came;
    let expected = expected["items"].as_array().unwrap();
    assert_eq!(items.len(), expected.len(), "{name}");
    for (item, expected) in items.iter().zip(expected) {
        check_item(item, expected, name);
    }
    check_natives(&items, &done, name);
    check_shown(deltas, &items, name);
}

/// Items that stand at the end of their response only, and not in what is expected.
const AT_THE_END_ONLY: [&str; 2] = [
    "mcpl_034c5e93e2fa45ad006a2c2b74d53c819dbb0f25635141142d",
    "mcpl_034c5e93e2fa45ad006a2c2b74d640819d9ec49d5fdfab8a5c",
];

/// No other item comes from the end, least of all one that came already.
fn check_missing(at_the_end: &[Item], came: &[Item], name: &str) {
    let ids: Vec<Value> = at_the_end
        .iter()
        .map(|item| native(item)["id"].clone())
        .collect();
    let expected: &[&str] = match name.contains("mcp_list_tools_stream_backfills_missing_results") {
        true => &AT_THE_END_ONLY,
        false => &[],
    };
    assert_eq!(ids, expected, "{name}");
    for item in at_the_end {
        let is_twin = |other: &&Item| match (&item.content, &other.content) {
            (Content::ToolCall(call), Content::ToolCall(other)) => call.call_id == other.call_id,
            (Content::Opaque, _) => native(item)["id"] == native(other)["id"],
            (content, other) => content == other,
        };
        assert_eq!(came.iter().find(is_twin), None, "{name}");
    }
}

fn native(item: &Item) -> Value {
    serde_json::from_str(item.native.as_ref().unwrap().json.as_str()).unwrap()
}

fn check_end(deltas: &[Delta], items: &[Item], expected: &Value, name: &str) {
    let Some(Delta::End { stop, raw }) = deltas.last() else {
        panic!("{name}: ended with {:?}", deltas.last());
    };
    if expected["status"] == "incomplete" {
        assert_eq!(*stop, StopReason::MaxTokens, "{name}");
        assert_eq!(raw, "incomplete: max_output_tokens", "{name}");
        return;
    }
    assert_eq!(*raw, expected["status"], "{name}");
    let called = items
        .iter()
        .any(|item| matches!(item.content, Content::ToolCall(_)));
    let refused = items
        .iter()
        .any(|item| native(item)["content"][0]["type"] == "refusal");
    let expected = match (called, refused) {
        (true, _) => StopReason::ToolUse,
        (false, true) => StopReason::Refusal,
        (false, false) => StopReason::EndTurn,
    };
    assert_eq!(*stop, expected, "{name}");
}

fn check_usage(deltas: &[Delta], expected: &Value, name: &str) {
    let last = deltas.iter().rev().find_map(|delta| match delta {
        Delta::Usage { usage } => Some(*usage),
        _ => None,
    });
    let count = |path: &str| expected.pointer(path).and_then(Value::as_u64);
    let usage = count("/input_tokens").map(|input| TokenUsage {
        input_tokens: input,
        cached_tokens: count("/input_tokens_details/cached_tokens").unwrap_or_default(),
        cache_write_tokens: count("/input_tokens_details/cache_write_tokens").unwrap_or_default(),
        output_tokens: count("/output_tokens").unwrap(),
    });
    assert_eq!(last, usage, "{name}");
}

fn check_item(item: &Item, expected: &Value, name: &str) {
    let native = native(item);
    assert_eq!(native["type"], expected["type"], "{name}");
    for key in ["phase", "id", "call_id", "name"] {
        if let Some(value) = expected.get(key) {
            assert_eq!(native[key], *value, "{name}");
        }
    }
    match &item.content {
        // The recordings do not count a refusal as text; for us it is what the model says.
        Content::Text { text } if native["content"][0]["type"] == "refusal" => {
            assert_eq!(native["content"][0]["refusal"], *text, "{name}");
        }
        Content::Text { text } => check_text(text, expected, name),
        Content::Reasoning { .. } => {
            let chars = |texts: &Value| {
                let texts = texts.as_array().into_iter().flatten();
                let chars = texts.map(|part| part["text"].as_str().unwrap().chars().count());
                json!(chars.sum::<usize>())
            };
            assert_eq!(
                chars(&native["summary"]),
                expected["summary_chars"],
                "{name}"
            );
            assert_eq!(
                chars(&native["content"]),
                expected["content_chars"],
                "{name}"
            );
            let encrypted = native["encrypted_content"].as_str().unwrap_or_default();
            let encrypted = json!(encrypted.chars().count());
            assert_eq!(encrypted, expected["encrypted_content_chars"], "{name}");
        }
        Content::ToolCall(call) if native["type"] == "custom_tool_call" => {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            assert_eq!(arguments, json!({ "input": native["input"] }), "{name}");
            check_text(
                native["input"].as_str().unwrap(),
                &expected["input_text"],
                name,
            );
        }
        Content::ToolCall(call) => {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            assert_eq!(arguments, expected["input"], "{name}");
        }
        Content::Opaque => assert_eq!(expected["opaque"], true, "{name}"),
        other => panic!("{name}: {other:?}"),
    }
}

/// The items that came by themselves, in the order of the output.
fn done(bytes: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: String,
        item: Option<Box<RawValue>>,
        output_index: Option<u64>,
    }
    let text = std::str::from_utf8(bytes).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let events = events.filter_map(|event| serde_json::from_str::<Event>(event).ok());
    let mut done: Vec<Event> = events
        .filter(|event| event.kind == "response.output_item.done")
        .collect();
    done.sort_by_key(|event| event.output_index);
    done.iter()
        .map(|event| event.item.as_ref().unwrap().get().to_owned())
        .collect()
}

/// Every item is kept byte for byte.
fn check_natives(items: &[Item], done: &[String], name: &str) {
    if done.is_empty() {
        return;
    }
    let natives: Vec<&str> = items
        .iter()
        .map(|item| item.native.as_ref().unwrap().json.as_str())
        .collect();
    assert_eq!(natives, done, "{name}");
}

/// What was streamed is what the items hold, wherever the service streams at all.
fn check_shown(deltas: &[Delta], items: &[Item], name: &str) {
    let (mut text, mut reasoning) = (String::new(), Vec::new());
    for item in items {
        match &item.content {
            Content::Text { text: whole } => text += whole,
            Content::Reasoning { text: whole } if !whole.is_empty() => {
                reasoning.push(whole.as_str());
            }
            _ => {}
        }
    }
    let (shown, thought) = streamed(deltas);
    assert_eq!(shown, text, "{name}");
    let squeezed = |text: &str| text.replace('\n', "");
    assert_eq!(squeezed(&thought), squeezed(&reasoning.concat()), "{name}");
    for item in items {
        if let Content::ToolCall(call) = &item.content {
            let started = deltas.iter().filter(|delta| {
                matches!(delta, Delta::ToolCallStarted { call_id, .. } if *call_id == call.call_id)
            });
            assert_eq!(started.count(), 1, "{name}");
        }
    }
}

//! Every recorded Gemini stream, over HTTP and in all cuttings, against what it holds.

use std::path::{Path, PathBuf};

use pullwright_protocol::provider::{Delta, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::{error, items};
use crate::gemini_stream::{new_reply, open, play};
use crate::http_server::Ending;
use crate::recordings::{expectation, files};
use crate::streams::{check_text, cuttings, disturbed, over_http, streamed};

pub(crate) fn streams() -> Vec<PathBuf> {
    files("gemini", |name| {
        name.ends_with(".sse") || name.ends_with(".chunks.txt")
    })
}

/// The stream's bytes; a list of events is framed first.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    if path.to_string_lossy().ends_with(".sse") {
        return text.into_bytes();
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let framed: String = lines.map(|line| format!("data: {line}\r\n\r\n")).collect();
    framed.into_bytes()
}

#[tokio::test]
async fn recordings_yield_what_is_expected_in_every_cutting() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        let pieces = cuttings(&bytes).into_iter().chain(disturbed(&bytes, NOISE));
        let all = over_http(open, pieces.map(|pieces| (pieces, Ending::Good)).collect()).await;
        check(&all[0], &bytes, &expectation(&path), &name);
        for other in &all[1..] {
            assert_eq!(other, &all[0], "{name}");
        }
    }
}

/// Comments and unknown events.
const NOISE: &str = ": a comment\n\nevent: brand_new\ndata: {\"brandNew\":[1],\"candidates\":null}\n\nid: 7\nretry: 10\ndata: {\"candidates\":[{\"index\":0,\"brandNew\":1}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_stream_cut_off_at_any_byte_has_no_end() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        let whole = bytes.trim_ascii_end().len();
        let mut reply = new_reply(vec![]);
        for (taken, byte) in bytes.iter().enumerate() {
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
            reply.push(&[*byte], &mut Vec::new()).unwrap();
        }
        assert_eq!(play(&bytes, 1), play(&bytes, usize::MAX), "{name}");
    }
}

#[tokio::test]
async fn a_connection_cut_off_anywhere_is_an_error_worth_a_retry() {
    const PLACES: usize = 8;
    for path in streams() {
        let bytes = bytes(&path);
        let whole = bytes.trim_ascii_end().len();
        let cuts = (0..PLACES).map(|place| bytes[..whole * place / PLACES].to_vec());
        let cuts = cuts.chain([bytes[..whole - 1].to_vec()]);
        let streams = cuts
            .flat_map(|cut| [Ending::Good, Ending::Cut].map(|ending| (vec![cut.clone()], ending)));
        for deltas in over_http(open, streams.collect()).await {
            let error = error(&deltas);
            assert_eq!(
                (error.kind, error.retryable),
                (FailureKind::Transport, true)
            );
        }
    }
}

fn check(deltas: &[Delta], bytes: &[u8], expected: &Value, name: &str) {
    match deltas.last() {
        Some(Delta::End { raw, .. }) => assert_eq!(*raw, expected["finishReason"], "{name}"),
        other => panic!("{name}: ended with {other:?}"),
    }
    check_usage(deltas, &expected["usage"], name);
    let items = items(deltas);
    check_texts(deltas, &items, expected, name);
    match &expected["function_calls"] {
        Value::Array(calls) => {
            check_calls(&items, calls, name);
            check_natives(&items, bytes, name);
        }
        streamed => check_streamed_calls(&items, streamed, name),
    }
    let signed = items
        .iter()
        .filter(|item| native(item).contains("\"thoughtSignature\""));
    assert_eq!(
        json!(signed.count()),
        expected["parts_with_thoughtSignature"],
        "{name}"
    );
    let others = expected["other_parts"].as_object().into_iter().flatten();
    for (key, count) in others {
        let of_kind = |item: &&Item| {
            item.content == Content::Opaque && native(item).contains(&format!("\"{key}\""))
        };
        assert_eq!(
            json!(items.iter().filter(of_kind).count()),
            *count,
            "{name}: {key}"
        );
    }
}

fn native(item: &Item) -> &str {
    item.native.as_ref().unwrap().json.as_str()
}

fn check_usage(deltas: &[Delta], expected: &Value, name: &str) {
    let last = deltas.iter().rev().find_map(|delta| match delta {
        Delta::Usage { usage } => Some(*usage),
        _ => None,
    });
    let count = |key: &str| expected[key].as_u64().unwrap_or_default();
    let usage = TokenUsage {
        input_tokens: count("promptTokenCount") + count("toolUsePromptTokenCount"),
        cached_tokens: count("cachedContentTokenCount"),
        cache_write_tokens: 0,
        output_tokens: count("candidatesTokenCount") + count("thoughtsTokenCount"),
    };
    assert_eq!(last, Some(usage), "{name}");
}

fn check_texts(deltas: &[Delta], items: &[Item], expected: &Value, name: &str) {
    let (mut text, mut thoughts) = (String::new(), String::new());
    for item in items {
        match &item.content {
            Content::Text { text: whole } => text += whole,
            Content::Reasoning { text: whole } => thoughts += whole,
            _ => {}
        }
    }
    check_text(&text, &expected["text"], name);
    check_text(&thoughts, &expected["thoughts"], name);
    assert_eq!(streamed(deltas), (text, thoughts), "{name}");
}

fn check_calls(items: &[Item], expected: &[Value], name: &str) {
    let calls = items.iter().filter_map(|item| match &item.content {
        Content::ToolCall(call) => Some((call, native(item))),
        _ => None,
    });
    let calls: Vec<Value> = calls
        .map(|(call, native)| {
            let ours = call.call_id.starts_with("unnamed_call_");
            json!({
                "id": if ours { None } else { Some(&call.call_id) },
                "name": call.name,
                "args": serde_json::from_str::<Value>(&call.arguments).unwrap(),
                "signed": native.contains("\"thoughtSignature\""),
            })
        })
        .collect();
    assert_eq!(calls, expected, "{name}");
}

/// Every part is kept byte for byte and in its place, but that pieces of running text are joined.
fn check_natives(items: &[Item], bytes: &[u8], name: &str) {
    let mut expected: Vec<(String, bool)> = Vec::new();
    for part in raw_parts(bytes) {
        let value: Value = serde_json::from_str(&part).unwrap();
        let is_plain = value
            .as_object()
            .unwrap()
            .keys()
            .all(|key| key == "text" || key == "thought");
        let text = value["text"].as_str().unwrap_or_default();
        let thought = value["thought"] == true;
        match expected.last_mut() {
            _ if is_plain && text.is_empty() => {}
            Some((before, true)) if is_plain && before.contains("\"thought\"") == thought => {
                let joined: Value = serde_json::from_str(before).unwrap();
                *before = plain(
                    &format!("{}{text}", joined["text"].as_str().unwrap()),
                    thought,
                );
            }
            _ if is_plain => expected.push((plain(text, thought), true)),
            _ => expected.push((part, false)),
        }
    }
    let natives: Vec<&str> = items.iter().map(native).collect();
    let expected: Vec<&str> = expected.iter().map(|(part, _)| part.as_str()).collect();
    assert_eq!(natives, expected, "{name}");
}

fn plain(text: &str, thought: bool) -> String {
    let text = json!(text);
    if thought {
        format!(r#"{{"text":{text},"thought":true}}"#)
    } else {
        format!(r#"{{"text":{text}}}"#)
    }
}

fn raw_parts(bytes: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Event {
        candidates: Vec<Candidate>,
    }
    #[derive(serde::Deserialize)]
    struct Candidate {
        content: Parts,
    }
    #[derive(serde::Deserialize)]
    struct Parts {
        parts: Vec<Box<RawValue>>,
    }
    let text = std::str::from_utf8(bytes).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    events
        .flat_map(|event| serde_json::from_str::<Event>(event).unwrap().candidates)
        .flat_map(|candidate| candidate.content.parts)
        .map(|part| part.get().to_owned())
        .collect()
}

/// Arguments in pieces: the recordings give the pieces only, so the wholes are written out here.
fn check_streamed_calls(items: &[Item], expected: &Value, name: &str) {
    let calls = items.iter().filter_map(|item| match &item.content {
        Content::ToolCall(call) => {
            let part: Value = serde_json::from_str(native(item)).unwrap();
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            let whole = part["functionCall"].get("args").cloned();
            assert_eq!(whole.unwrap_or_else(|| json!({})), arguments, "{name}");
            Some((call.name.clone(), arguments))
        }
        _ => None,
    });
    let (names, arguments): (Vec<String>, Vec<Value>) = calls.unzip();
    assert_eq!(json!(names), expected["names"], "{name}");
    if names[0] == "read_theme" {
        let wholes = [
            json!({}),
            json!({ "id": "A" }),
            json!({ "id": "B" }),
            json!({ "id": "C" }),
        ];
        assert_eq!(arguments, wholes, "{name}");
        return;
    }
    let recipe = &arguments[0]["recipe"];
    assert_eq!(recipe["name"], "Lasagna", "{name}");
    let ingredients = recipe["ingredients"].as_array().unwrap();
    assert_eq!(ingredients.len(), 10, "{name}");
    assert_eq!(
        ingredients[6],
        json!({ "amount": "1", "name": "Egg" }),
        "{name}"
    );
    let steps = recipe["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 10, "{name}");
    let joined = "In a 9x13 baking dish, spread a thin layer of meat sauce.";
    assert_eq!(steps[4], joined, "{name}");
}

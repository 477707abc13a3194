//! Every recorded Ollama stream, over HTTP and in all cuttings, against what it holds.

use std::path::PathBuf;

use pullwright_protocol::provider::{Delta, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item};
use serde_json::{Value, json};

use crate::client::{error, items};
use crate::http_server::Ending;
use crate::ollama_stream::{new_reply, open, play};
use crate::recordings::{expectation, files};
use crate::streams::{check_text, cuttings, over_http, streamed};

pub(crate) fn streams() -> Vec<PathBuf> {
    files("ollama", |name| name.ends_with(".ndjson"))
}

#[tokio::test]
async fn recordings_yield_what_is_expected_in_every_cutting() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        let pieces = cuttings(&bytes).into_iter().chain(disturbed(&bytes));
        let all = over_http(open, pieces.map(|pieces| (pieces, Ending::Good)).collect()).await;
        check(&all[0], &expectation(&path), &name);
        for other in &all[1..] {
            assert_eq!(other, &all[0], "{name}");
        }
    }
}

/// The same stream with blank and unknown lines, for there are no comments, and with other line ends.
fn disturbed(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    const NOISE: &str = "\n\n{\"brand_new\":[1]}\n{\"message\":{\"brand_new\":1},\"done\":false}\n";
    let noisy = String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace('\n', NOISE);
    let ends = ["\n", "\r\n"].map(|end| noisy.replace('\n', end));
    ends.iter()
        .map(|text| text.as_bytes().chunks(500).map(<[u8]>::to_vec).collect())
        .collect()
}

#[test]
fn a_stream_cut_off_at_any_byte_has_no_end() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap();
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
        let bytes = std::fs::read(&path).unwrap();
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

fn check(deltas: &[Delta], expected: &Value, name: &str) {
    match deltas.last() {
        Some(Delta::End { raw, .. }) => assert_eq!(*raw, expected["done_reason"], "{name}"),
        other => panic!("{name}: ended with {other:?}"),
    }
    let usage = TokenUsage {
        input_tokens: expected["usage"]["prompt_eval_count"].as_u64().unwrap(),
        output_tokens: expected["usage"]["eval_count"].as_u64().unwrap(),
        ..TokenUsage::default()
    };
    assert!(deltas.contains(&Delta::Usage { usage }), "{name}");
    let items = items(deltas);
    check_texts(deltas, &items, expected, name);
    let calls: Vec<Value> = items.iter().filter_map(call).collect();
    assert_eq!(json!(calls), expected["tool_calls"], "{name}");
}

fn check_texts(deltas: &[Delta], items: &[Item], expected: &Value, name: &str) {
    let (mut text, mut thinking) = (String::new(), String::new());
    for item in items {
        match &item.content {
            Content::Text { text: whole } => text += whole,
            Content::Reasoning { text: whole } => thinking += whole,
            _ => {}
        }
    }
    check_text(&text, &expected["text"], name);
    check_text(&thinking, &expected["thinking"], name);
    assert_eq!(streamed(deltas), (text, thinking), "{name}");
}

fn call(item: &Item) -> Option<Value> {
    let Content::ToolCall(call) = &item.content else {
        return None;
    };
    let native = item.native.as_ref().unwrap().json.as_str();
    let native: Value = serde_json::from_str(native).unwrap();
    let input: Value = serde_json::from_str(&call.arguments).unwrap();
    assert_eq!(native["function"]["arguments"], input);
    Some(json!({ "id": call.call_id, "name": call.name, "input": input }))
}

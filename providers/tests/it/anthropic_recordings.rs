//! Every recorded stream against what the API's own library made of it.

use std::path::PathBuf;

use pullwright_protocol::provider::Delta;
use pullwright_protocol::{Content, Item};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::anthropic_reply::{Played, play};
use crate::client::items;
use crate::recordings::{expectation, files, stream_bytes};

fn streams() -> Vec<PathBuf> {
    files("anthropic", |name| {
        name.ends_with(".sse") || name.ends_with(".chunks.txt")
    })
}

#[test]
fn recordings_yield_what_is_expected() {
    for path in streams() {
        let played = play(&stream_bytes(&path), usize::MAX);
        check(&played, &expectation(&path), &path.display().to_string());
    }
}

#[test]
fn cutting_makes_no_difference_and_a_cut_off_stream_has_no_end() {
    for path in streams() {
        let bytes = stream_bytes(&path);
        let whole = play(&bytes, usize::MAX);
        for piece in [1, 2, 7, 1000] {
            let cut = play(&bytes, piece);
            assert_eq!(
                (&cut.deltas, &cut.finish),
                (&whole.deltas, &whole.finish),
                "{}",
                path.display()
            );
        }
        // Each step of the byte-wise play is a stream cut off there: none of them may end well.
        let text = String::from_utf8(bytes.clone()).unwrap();
        let terminal = text.find("\"message_stop\"").expect("no message_stop");
        let end = play(&bytes, 1).first_finish_at.expect("no end");
        assert!(
            end > terminal,
            "{}: ended at byte {end}, before its end",
            path.display()
        );
    }
}

#[test]
fn comments_unknown_events_and_other_line_ends_make_no_difference() {
    const NOISE: &str = ": a comment\n\nevent: brand_new\ndata: {\"type\":\"brand_new\",\"x\":[1]}\n\nid: 7\nretry: 10\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    for path in streams() {
        let bytes = stream_bytes(&path);
        let whole = play(&bytes, usize::MAX);
        let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        let noisy = text
            .replace("\n\n", &format!("\n\n{NOISE}"))
            .replace("\ndata:", "\n: inside\ndata:");
        for variant in [
            &noisy,
            &noisy.replace('\n', "\r\n"),
            &noisy.replace('\n', "\r"),
        ] {
            let played = play(variant.as_bytes(), 5);
            assert_eq!(
                (&played.deltas, &played.finish),
                (&whole.deltas, &whole.finish),
                "{}",
                path.display()
            );
        }
    }
}

fn check(played: &Played, expected: &Value, name: &str) {
    assert_eq!(played.error, None, "{name}");
    let finish = played
        .finish
        .as_ref()
        .unwrap_or_else(|| panic!("{name}: no end"));
    let stop = expected["stop_reason"].as_str().unwrap();
    assert!(
        finish.raw.starts_with(stop),
        "{name}: {} is not {stop}",
        finish.raw
    );
    check_usage(played, &expected["usage"], name);
    let items = items(&played.deltas);
    let blocks = expected["blocks"].as_array().unwrap();
    assert_eq!(items.len(), blocks.len(), "{name}: {items:#?}");
    for (index, (item, block)) in items.iter().zip(blocks).enumerate() {
        check_block(item, block, &format!("{name}, block {index}"));
    }
    check_deltas(played, &items, name);
}

fn check_usage(played: &Played, expected: &Value, name: &str) {
    let last = played.deltas.iter().rev().find_map(|delta| match delta {
        Delta::Usage { usage } => Some(*usage),
        _ => None,
    });
    let usage = last.unwrap_or_else(|| panic!("{name}: no usage"));
    let count = |key: &str| expected[key].as_u64().unwrap_or_default();
    let (read, written) = (
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
    );
    assert_eq!(
        usage.input_tokens,
        count("input_tokens") + read + written,
        "{name}"
    );
    assert_eq!(
        (usage.cached_tokens, usage.cache_write_tokens),
        (read, written),
        "{name}"
    );
    assert_eq!(usage.output_tokens, count("output_tokens"), "{name}");
}

/// The streamed pieces are the items' texts.
fn check_deltas(played: &Played, items: &[Item], name: &str) {
    let (mut text, mut reasoning) = (String::new(), String::new());
    for delta in &played.deltas {
        match delta {
            Delta::Text { delta } => text += delta,
            Delta::Reasoning { delta } => reasoning += delta,
            _ => {}
        }
    }
    for item in items {
        match &item.content {
            Content::Text { text: whole } => text = strip(&text, whole, name),
            Content::Reasoning { text: whole } => reasoning = strip(&reasoning, whole, name),
            _ => {}
        }
    }
    assert_eq!((text.as_str(), reasoning.as_str()), ("", ""), "{name}");
}

fn strip(streamed: &str, whole: &str, name: &str) -> String {
    streamed
        .strip_prefix(whole)
        .unwrap_or_else(|| panic!("{name}: {whole:?} was not streamed"))
        .to_owned()
}

fn check_block(item: &Item, expected: &Value, name: &str) {
    let native: Option<Value> = item
        .native
        .as_ref()
        .map(|native| serde_json::from_str(native.json.as_str()).unwrap());
    let kind = expected["type"].as_str().unwrap();
    match (&item.content, kind) {
        (Content::Text { text }, "text") => {
            check_text(text, expected, name);
            let citations = native.as_ref().unwrap()["citations"]
                .as_array()
                .map_or(0, Vec::len);
            assert_eq!(
                citations as u64,
                expected["n_citations"].as_u64().unwrap_or_default(),
                "{name}"
            );
        }
        (Content::Reasoning { text }, "thinking") => {
            check_text(text, expected, name);
            let signature = native.as_ref().unwrap()["signature"].as_str().unwrap();
            assert_eq!(
                sha256_16(signature),
                expected["signature_sha256_16"],
                "{name}"
            );
        }
        (Content::ToolCall(call), "tool_use") => {
            assert_eq!(
                (call.call_id.as_str(), call.name.as_str()),
                (
                    expected["id"].as_str().unwrap(),
                    expected["name"].as_str().unwrap()
                ),
                "{name}"
            );
            check_input(&call.arguments, native.as_ref(), &expected["input"], name);
        }
        (Content::Opaque, _) => check_opaque(native.as_ref().unwrap(), expected, name),
        (content, kind) => panic!("{name}: {content:?} is no {kind}"),
    }
    if let Some(native) = native {
        assert_eq!(native["type"], kind, "{name}");
    }
}

fn check_input(arguments: &str, native: Option<&Value>, expected: &Value, name: &str) {
    if let Some(raw) = expected["__invalid_json__"].as_str() {
        assert_eq!(arguments, raw, "{name}");
        assert_eq!(native, None, "{name}");
        return;
    }
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(&arguments, expected, "{name}");
    assert_eq!(&native.unwrap()["input"], expected, "{name}");
}

fn check_opaque(native: &Value, expected: &Value, name: &str) {
    match expected["type"].as_str() {
        Some("server_tool_use") => {
            for key in ["id", "name", "input"] {
                assert_eq!(native[key], expected[key], "{name}");
            }
        }
        Some("compaction") => check_text(native["content"].as_str().unwrap(), expected, name),
        _ => {
            let mut keys: Vec<&String> = native.as_object().unwrap().keys().collect();
            keys.sort();
            assert_eq!(serde_json::json!(keys), expected["keys"], "{name}");
        }
    }
}

/// Long texts are given by length, hash and ends.
fn check_text(text: &str, expected: &Value, name: &str) {
    if let Some(whole) = expected["text"].as_str() {
        assert_eq!(text, whole, "{name}");
        return;
    }
    assert_eq!(
        text.chars().count() as u64,
        expected["chars"].as_u64().unwrap(),
        "{name}"
    );
    assert_eq!(sha256_16(text), expected["sha256_16"], "{name}");
}

fn sha256_16(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

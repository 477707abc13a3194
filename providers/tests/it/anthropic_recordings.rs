//! Every recorded stream, over HTTP and in all cuttings, against what the API's own library made of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pullwright_protocol::provider::Delta;
use pullwright_protocol::{Content, Item};
use pullwright_providers::Provider;
use serde_json::Value;
use url::Url;

use crate::anthropic_http::{anthropic, config};
use crate::anthropic_reply::play;
use crate::client::items;
use crate::http_server::Ending;
use crate::recordings::{expectation, files, stream_bytes};
use crate::streams::{check_text, cuttings, disturbed, over_http, sha256_16, streamed};

pub(crate) fn streams() -> Vec<PathBuf> {
    files("anthropic", |name| {
        name.ends_with(".sse") || name.ends_with(".chunks.txt")
    })
}

/// The replies of a recording, each of which was a stream of its own.
pub(crate) fn replies(path: &Path) -> Vec<Vec<u8>> {
    let text = String::from_utf8(stream_bytes(path)).unwrap();
    let text = text.replace("\r\n", "\n");
    let mut replies = vec![String::new()];
    for frame in text.split_inclusive("\n\n") {
        let whole = replies.last().is_some_and(|reply| is_whole(reply));
        if whole && frame.contains("\"message_start\"") {
            replies.push(String::new());
        }
        replies.last_mut().unwrap().push_str(frame);
    }
    replies.into_iter().map(String::into_bytes).collect()
}

fn is_whole(reply: &str) -> bool {
    reply.contains("\"message_stop\"")
}

pub(crate) fn open(base_url: Url) -> Arc<dyn Provider> {
    Arc::new(anthropic(config(base_url)))
}

/// Comments and unknown events.
const NOISE: &str = ": a comment\n\nevent: brand_new\ndata: {\"type\":\"brand_new\",\"x\":[1]}\n\nid: 7\nretry: 10\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";

#[tokio::test]
async fn recordings_yield_what_is_expected_in_every_cutting() {
    for path in streams() {
        let name = path.display().to_string();
        let mut whole = Vec::new();
        for reply in replies(&path) {
            let pieces = cuttings(&reply).into_iter().chain(disturbed(&reply, NOISE));
            let pieces = pieces.map(|pieces| (pieces, Ending::Good)).collect();
            let all = over_http(open, pieces).await;
            for other in &all[1..] {
                assert_eq!(other, &all[0], "{name}");
            }
            whole.extend_from_slice(&all[0]);
        }
        check(&whole, &expectation(&path), &name);
    }
}

#[test]
fn a_stream_cut_off_at_any_byte_has_no_end() {
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

fn check(deltas: &[Delta], expected: &Value, name: &str) {
    let Some(Delta::End { raw, .. }) = deltas.last() else {
        panic!("{name}: no end but {:?}", deltas.last());
    };
    let stop = expected["stop_reason"].as_str().unwrap();
    assert!(raw.starts_with(stop), "{name}: {raw} is not {stop}");
    check_usage(deltas, &expected["usage"], name);
    let items = items(deltas);
    let blocks = expected["blocks"].as_array().unwrap();
    assert_eq!(items.len(), blocks.len(), "{name}: {items:#?}");
    for (index, (item, block)) in items.iter().zip(blocks).enumerate() {
        check_block(item, block, &format!("{name}, block {index}"));
    }
    check_deltas(deltas, &items, name);
}

fn check_usage(deltas: &[Delta], expected: &Value, name: &str) {
    let last = deltas.iter().rev().find_map(|delta| match delta {
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
fn check_deltas(deltas: &[Delta], items: &[Item], name: &str) {
    let (mut text, mut reasoning) = streamed(deltas);
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

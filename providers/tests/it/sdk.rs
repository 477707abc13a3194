//! The vendors' own libraries as an oracle: both sides read the same recorded streams over HTTP.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use pullwright_protocol::provider::{Delta, TokenUsage};
use pullwright_protocol::{Content, Item};
use pullwright_providers::Provider;
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;

use crate::chat_recordings::native;
use crate::client::items;
use crate::http_server::{Answer, Ending, Server};
use crate::openai_stream::{open_chat, open_responses};
use crate::streams::{over_http, streamed};
use crate::{anthropic_recordings, chat_recordings, responses_recordings};

const ANTHROPIC: &str = "anthropic_messages";
const CHAT: &str = "openai_chat";
const RESPONSES: &str = "openai_responses";

#[tokio::test]
async fn anthropic_replies_are_what_its_library_makes_of_them() {
    let mut streams = Vec::new();
    for path in anthropic_recordings::streams() {
        let replies = anthropic_recordings::replies(&path);
        streams.extend(replies.into_iter().map(|reply| (name(&path), reply)));
    }
    let both = both(ANTHROPIC, streams, anthropic_recordings::open).await;
    // Invalid arguments, which we answer to the model.
    compare(&both, anthropic_reply, 1);
}

#[tokio::test]
async fn chat_replies_are_what_the_library_of_openai_makes_of_them() {
    let streams = chat_recordings::streams();
    let streams = streams
        .iter()
        .map(|path| (name(path), chat_recordings::bytes(path)));
    let both = both(CHAT, streams.collect(), open_chat).await;
    // Two errors inside of a stream, and three dialects.
    compare(&both, chat_reply, 5);
}

#[tokio::test]
async fn responses_are_what_the_library_of_openai_makes_of_them() {
    let streams = responses_recordings::streams();
    let streams = streams
        .iter()
        .map(|path| (name(path), responses_recordings::bytes(path)));
    let both = both(RESPONSES, streams.collect(), open_responses).await;
    // An event it does not expect, a reply cut by length, and one item with two identities.
    compare(&both, responses_reply, 3);
}

/// Where we differ from a library for a reason: two replies spliced into one, whose blocks it mixes
/// up; and a last event that holds items which were never streamed, which it takes from there.
const DIFFERENT: [&str; 2] = ["spliced-message-start", "stream_backfills_missing_results"];

/// One stream, read twice.
struct Both {
    name: String,
    ours: Vec<Delta>,
    theirs: Value,
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

async fn both(
    wire: &str,
    streams: Vec<(String, Vec<u8>)>,
    open: impl Fn(Url) -> Arc<dyn Provider>,
) -> Vec<Both> {
    let Some(python) = python(wire) else {
        return Vec::new();
    };
    let (names, streams): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
    let theirs = theirs(&python, wire, &streams).await;
    let pieces = streams.into_iter().map(|bytes| (vec![bytes], Ending::Good));
    let ours = over_http(open, pieces.collect()).await;
    let both = names.into_iter().zip(ours).zip(theirs);
    both.map(|((name, ours), theirs)| Both { name, ours, theirs })
        .collect()
}

/// The interpreter that has the libraries, unless the test is skipped, visibly.
fn python(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PULLWRIGHT_PEERS").map(PathBuf::from);
    let python = root.map(|root| root.join("python/bin/python"));
    if let Some(python) = python.filter(|python| python.is_file()) {
        return Some(python);
    }
    let note = format!(
        "{what} against the vendor's library: run .ci/peers/install and set PULLWRIGHT_PEERS to its folder"
    );
    let required = std::env::var("PULLWRIGHT_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{note}");
    // Written past the test runner, which hides what a passing test prints.
    std::io::stderr()
        .write_all(format!("SKIPPED: {note}\n").as_bytes())
        .unwrap();
    None
}

async fn theirs(python: &Path, wire: &str, streams: &[Vec<u8>]) -> Vec<Value> {
    let answers = streams.iter().map(|bytes| Answer::stream(bytes.clone()));
    let server = Server::start(answers.collect()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/accumulate.py");
    let output = Command::new(python)
        .arg(script)
        .args([wire, server.url.as_str(), &streams.len().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{wire}: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let all: Vec<Value> = lines.collect();
    assert_eq!(all.len(), streams.len(), "{wire}");
    all
}

/// Compares all but the streams, `unreadable` in number, that the library itself cannot read.
fn compare(both: &[Both], ours: impl Fn(&[Delta], &Value) -> Value, unreadable: usize) {
    let mut raised = 0;
    for one in both {
        if one.theirs["raised"].is_string() {
            raised += 1;
            continue;
        }
        if DIFFERENT.iter().any(|name| one.name.contains(name)) {
            continue;
        }
        let ours = ours(&one.ours, &one.theirs);
        assert_eq!(ours, one.theirs, "{}", one.name);
    }
    assert!(
        both.is_empty() || raised == unreadable,
        "{raised} unreadable"
    );
}

fn anthropic_reply(deltas: &[Delta], _: &Value) -> Value {
    let block = |item: &Item| match &item.content {
        Content::Text { text } => json!({ "text": text }),
        Content::Reasoning { text } => {
            let native = native(item);
            match native.get("data") {
                Some(data) => json!({ "reasoning": text, "data": data }),
                None => json!({ "reasoning": text, "signature": native["signature"] }),
            }
        }
        Content::ToolCall(call) => {
            let input: Value = serde_json::from_str(&call.arguments).unwrap();
            json!({ "call": call.call_id, "name": call.name, "input": input })
        }
        _ => json!({ "opaque": native(item)["type"] }),
    };
    let blocks: Vec<Value> = items(deltas).iter().map(block).collect();
    let usage = usage(deltas).unwrap();
    // What a refusal says about itself follows the reason.
    let stop = stop(deltas);
    let stop = stop.split([' ', ':']).next();
    json!({
        "blocks": blocks,
        "stop": stop,
        "usage": [usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.output_tokens],
    })
}

fn chat_reply(deltas: &[Delta], theirs: &Value) -> Value {
    let items = items(deltas);
    let calls = items.iter().filter_map(|item| match &item.content {
        Content::ToolCall(call) => {
            // A call without arguments has an empty object of them.
            let is_empty = call.arguments == "{}";
            let arguments = if is_empty { "" } else { &call.arguments };
            Some(json!({ "call": call.call_id, "name": call.name, "arguments": arguments }))
        }
        _ => None,
    });
    let calls: Vec<Value> = calls.collect();
    let (mut text, mut reasoning) = streamed(deltas);
    // For us a refusal is what the model says.
    let refusal = theirs["refusal"].as_str().unwrap_or_default();
    if let Some(rest) = text.strip_suffix(refusal) {
        text = rest.to_owned();
    }
    // Reasoning inside of the text is told from it, but goes back in it.
    for item in &items {
        if let Some(inline) = native(item)["inline"].as_str() {
            text.insert_str(0, inline);
            reasoning.clear();
        }
    }
    // The library does not know reasoning that comes as details.
    if theirs["reasoning"] == "" {
        reasoning.clear();
    }
    json!({ "text": text, "reasoning": reasoning, "refusal": refusal, "calls": calls, "stop": stop(deltas) })
}

fn responses_reply(deltas: &[Delta], _: &Value) -> Value {
    let texts = |parts: &Value| -> Vec<Value> {
        let parts = parts.as_array().into_iter().flatten();
        parts.map(|part| part["text"].clone()).collect()
    };
    let view = |item: &Item| {
        let native = native(item);
        match native["type"].as_str().unwrap() {
            "message" => match &item.content {
                Content::Text { text } => json!({ "text": text }),
                other => panic!("{other:?}"),
            },
            "reasoning" => json!({
                "summary": texts(&native["summary"]),
                "content": texts(&native["content"]),
                // The last event, from which the library takes it, has it encrypted anew.
                "encrypted": native["encrypted_content"].is_string(),
            }),
            "function_call" | "custom_tool_call" => match &item.content {
                Content::ToolCall(call) => {
                    let arguments = native.get("arguments").or(native.get("input"));
                    json!({ "call": call.call_id, "name": call.name, "arguments": arguments })
                }
                other => panic!("{other:?}"),
            },
            kind => json!({ "opaque": kind }),
        }
    };
    let items: Vec<Value> = items(deltas).iter().map(view).collect();
    let usage = usage(deltas).unwrap();
    json!({ "items": items, "usage": [usage.input_tokens, usage.cached_tokens, usage.output_tokens] })
}

fn usage(deltas: &[Delta]) -> Option<TokenUsage> {
    deltas.iter().rev().find_map(|delta| match delta {
        Delta::Usage { usage } => Some(*usage),
        _ => None,
    })
}

fn stop(deltas: &[Delta]) -> &str {
    match deltas.last() {
        Some(Delta::End { raw, .. }) => raw,
        other => panic!("ended with {other:?}"),
    }
}

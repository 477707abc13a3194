//! Every recorded Chat Completions stream, over HTTP and in all cuttings, against what it holds.

use std::path::{Path, PathBuf};

use pullwright_protocol::provider::{Delta, StopReason, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item};
use serde_json::{Value, json};

use crate::client::{error, items};
use crate::http_server::Ending;
use crate::openai_stream::{new_chat_reply, open_chat, play_chat};
use crate::recordings::{expectation, files};
use crate::streams::{check_text, cuttings, disturbed, end_of, over_http, streamed};

pub(crate) fn streams() -> Vec<PathBuf> {
    files("openai-chat", |name| {
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
    let framed: String = lines.map(|line| format!("data: {line}\n\n")).collect();
    (framed + "data: [DONE]\n\n").into_bytes()
}

#[tokio::test]
async fn recordings_yield_what_is_expected_in_every_cutting() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        let pieces = cuttings(&bytes).into_iter().chain(disturbed(&bytes, NOISE));
        let pieces = pieces.map(|pieces| (pieces, Ending::Good)).collect();
        let all = over_http(open_chat, pieces).await;
        check(&all[0], &expectation(&path), &name);
        for other in &all[1..] {
            assert_eq!(other, &all[0], "{name}");
        }
    }
}

/// Comments and unknown events.
const NOISE: &str = ": a comment\n\nevent: brand_new\ndata: {\"brandNew\":[1],\"choices\":null}\n\nid: 7\nretry: 10\ndata: {\"choices\":[{\"index\":0,\"brandNew\":1}]}\n\n";

fn is_end(data: &str, event: &Value) -> bool {
    let mut choices = event["choices"].as_array().into_iter().flatten();
    data == "[DONE]" || choices.any(|choice| choice["finish_reason"].is_string())
}

#[test]
fn a_stream_cut_off_before_it_says_so_has_no_end() {
    for path in streams() {
        let name = path.display().to_string();
        let bytes = bytes(&path);
        if expectation(&path)["error"].is_object() {
            continue;
        }
        let whole = end_of(&bytes, is_end);
        let mut reply = new_chat_reply(vec![]);
        for (taken, byte) in bytes.iter().enumerate() {
            // Long streams are long for the same reason throughout, so not every byte is looked at.
            if taken % 7 == 0 || taken.abs_diff(whole) < 200 {
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
            play_chat(&bytes, 1),
            play_chat(&bytes, usize::MAX),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_connection_cut_off_anywhere_is_an_error_worth_a_retry() {
    const PLACES: usize = 8;
    for path in streams() {
        let bytes = bytes(&path);
        if expectation(&path)["error"].is_object() {
            continue;
        }
        let whole = end_of(&bytes, is_end);
        let cuts = (0..PLACES).map(|place| bytes[..whole * place / PLACES].to_vec());
        let cuts = cuts.chain([bytes[..whole - 1].to_vec()]);
        let streams = cuts
            .flat_map(|cut| [Ending::Good, Ending::Cut].map(|ending| (vec![cut.clone()], ending)));
        for deltas in over_http(open_chat, streams.collect()).await {
            let error = error(&deltas);
            assert_eq!(
                (error.kind, error.retryable),
                (FailureKind::Transport, true)
            );
        }
    }
}

fn check(deltas: &[Delta], expected: &Value, name: &str) {
    check_usage(deltas, &expected["usage"], name);
    // The recordings do not count a refusal as text; for us it is what the model says.
    let refused = matches!(
        deltas.last(),
        Some(Delta::End {
            stop: StopReason::Refusal,
            ..
        })
    );
    if let Some(said) = expected["error"]["message"].as_str() {
        let error = error(deltas);
        assert_eq!(error.kind, FailureKind::MalformedReply, "{name}");
        assert!(error.message.contains(said), "{name}: {}", error.message);
        let (text, reasoning) = streamed(deltas);
        check_text(&text, &expected["text"], name);
        check_text(&reasoning, &expected["reasoning"], name);
        return;
    }
    match deltas.last() {
        Some(Delta::End { raw, .. }) => {
            let expected = expected["finish_reason"].as_str().unwrap_or_default();
            assert_eq!(raw, expected, "{name}");
        }
        other => panic!("{name}: ended with {other:?}"),
    }
    let items = items(deltas);
    if refused {
        let (text, _) = streamed(deltas);
        assert!(
            text.starts_with("I'm") && expected["text"]["text"] == "",
            "{name}: {text}"
        );
    } else {
        check_texts(deltas, &items, expected, name);
    }
    check_calls(&items, &expected["tool_calls"], name);
    check_details(&items, &expected["reasoning_details"], name);
}

pub(crate) fn native(item: &Item) -> Value {
    serde_json::from_str(item.native.as_ref().unwrap().json.as_str()).unwrap()
}

fn check_usage(deltas: &[Delta], expected: &Value, name: &str) {
    let last = deltas.iter().rev().find_map(|delta| match delta {
        Delta::Usage { usage } => Some(*usage),
        _ => None,
    });
    let count = |path: &str| expected.pointer(path).and_then(Value::as_u64);
    let usage = count("/prompt_tokens").map(|input| TokenUsage {
        input_tokens: input,
        cached_tokens: count("/prompt_tokens_details/cached_tokens")
            .or(count("/prompt_cache_hit_tokens"))
            .or(count("/cache_read_input_tokens"))
            .unwrap_or_default(),
        cache_write_tokens: count("/prompt_tokens_details/cache_write_tokens")
            .or(count("/cache_creation_input_tokens"))
            .unwrap_or_default(),
        output_tokens: output(expected, input),
    });
    assert_eq!(last, usage, "{name}");
}

/// One service counts reasoning apart, which shows in its sum.
fn output(expected: &Value, input: u64) -> u64 {
    let said = expected["completion_tokens"].as_u64().unwrap();
    let reasoning = expected.pointer("/completion_tokens_details/reasoning_tokens");
    let reasoning = reasoning.and_then(Value::as_u64).unwrap_or_default();
    let is_apart = expected["total_tokens"].as_u64() == Some(input + said + reasoning);
    if is_apart { said + reasoning } else { said }
}

fn check_texts(deltas: &[Delta], items: &[Item], expected: &Value, name: &str) {
    let (mut text, mut reasoning, mut inline) = (String::new(), String::new(), None);
    for item in items {
        match &item.content {
            Content::Text { text: whole } => text += whole,
            Content::Reasoning { text: whole } => {
                reasoning += whole;
                inline = native(item)["inline"].as_str().map(str::to_owned);
            }
            _ => {}
        }
    }
    assert_eq!(
        streamed(deltas),
        (text.clone(), reasoning.clone()),
        "{name}"
    );
    match inline {
        // Reasoning that the service left in the text is told from it, but goes back in it.
        Some(inline) => check_text(&(inline + &text), &expected["text"], name),
        None => check_text(&text, &expected["text"], name),
    }
    let said_elsewhere = expected["reasoning"]["text"] == "" && !reasoning.is_empty();
    if said_elsewhere {
        let is_of_details = expected["reasoning_details"]["n"].as_u64() > Some(0);
        let is_inline = expected["text"].to_string().contains("<think>");
        let is_part = items.iter().any(|item| !native(item)["thinking"].is_null());
        assert!(is_of_details || is_inline || is_part, "{name}: {reasoning}");
    } else {
        check_text(&reasoning, &expected["reasoning"], name);
    }
}

fn check_calls(items: &[Item], expected: &Value, name: &str) {
    let calls = items.iter().filter_map(|item| match &item.content {
        Content::ToolCall(call) => Some((call, native(item))),
        _ => None,
    });
    let calls: Vec<Value> = calls
        .map(|(call, native)| {
            assert_eq!(native["id"], call.call_id, "{name}");
            assert_eq!(native["function"]["name"], call.name, "{name}");
            assert_eq!(native["function"]["arguments"], call.arguments, "{name}");
            let input = serde_json::from_str::<Value>(&call.arguments)
                .unwrap_or_else(|_| json!({ "__invalid_json__": call.arguments }));
            json!({ "id": call.call_id, "name": call.name, "input": input })
        })
        .collect();
    assert_eq!(json!(calls), *expected, "{name}");
}

fn check_details(items: &[Item], expected: &Value, name: &str) {
    let Some(chunks) = expected["n"].as_u64() else {
        return;
    };
    let details = items
        .iter()
        .find_map(|item| native(item)["reasoning_details"].as_array().cloned());
    let details = details.unwrap_or_default();
    assert_eq!(details.is_empty(), chunks == 0, "{name}");
    let with = |key: &str| {
        details
            .iter()
            .filter(|detail| detail[key].is_string())
            .count()
    };
    let count = |key: &str| usize::try_from(expected[key].as_u64().unwrap_or_default()).unwrap();
    assert_eq!(with("data"), count("encrypted_chunks"), "{name}");
    assert_eq!(
        with("signature") > 0,
        count("signature_chunks") > 0,
        "{name}"
    );
}

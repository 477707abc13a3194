//! Replies of Chat Completions as services really send them.

use proptest::prelude::*;
use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_protocol::{Content, FailureKind};
use serde_json::{Value, json};

use crate::client::items;
use crate::openai_stream::{chunk, done, frames, play_chat};
use crate::properties::{as_event, in_every_cutting, nonsense};
use crate::streams::streamed;

/// Name and arguments of each call, and why the reply ended.
fn calls(pieces: &[Value]) -> (Vec<(String, String)>, StopReason) {
    let chunks = pieces
        .iter()
        .map(|piece| chunk(&json!({ "tool_calls": [piece] }), None))
        .chain([chunk(&json!({}), Some("tool_calls"))]);
    let (deltas, finish) = play_chat(&done(&chunks.collect::<Vec<_>>()), usize::MAX);
    check_shown(&deltas);
    let calls = items(&deltas).into_iter().map(|item| match item.content {
        Content::ToolCall(call) => (call.name, call.arguments),
        other => panic!("{other:?}"),
    });
    (calls.collect(), finish.unwrap().stop)
}

/// The arguments that were streamed are those of the call.
fn check_shown(deltas: &[Delta]) {
    for item in items(deltas) {
        let Content::ToolCall(call) = item.content else {
            continue;
        };
        let pieces = deltas.iter().filter_map(|delta| match delta {
            Delta::ToolCallArguments { call_id, delta } if *call_id == call.call_id => Some(delta),
            _ => None,
        });
        let shown: String = pieces.cloned().collect();
        assert!(shown == call.arguments || call.arguments == "{}", "{shown}");
    }
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, arguments): &(&str, &str)| ((*name).to_owned(), (*arguments).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn calls_are_told_apart_however_they_are_numbered() {
    let piece = |index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: &str| json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let two = named(&[("a", r#"{"x":1}"#), ("b", r#"{"y":2}"#)]);
    let streams = [
        // As documented.
        vec![
            piece(Some(0), Some("1"), Some("a"), ""),
            piece(Some(0), None, None, r#"{"x":"#),
            piece(Some(1), Some("2"), Some("b"), ""),
            piece(Some(1), None, None, r#"{"y":2}"#),
            piece(Some(0), None, None, "1}"),
        ],
        // Without an index, whole.
        vec![
            piece(None, Some("1"), Some("a"), r#"{"x":1}"#),
            piece(None, Some("2"), Some("b"), r#"{"y":2}"#),
        ],
        // Without an index, in pieces.
        vec![
            piece(None, Some("1"), Some("a"), r#"{"x""#),
            piece(None, None, None, ":1}"),
            piece(None, Some("2"), Some("b"), r#"{"y":2"#),
            piece(None, None, None, "}"),
        ],
        // All with the same index.
        vec![
            piece(Some(0), Some("1"), Some("a"), r#"{"x":1}"#),
            piece(Some(0), Some("2"), Some("b"), r#"{"y":2}"#),
        ],
        // Counted from one, and the id and the name in every piece.
        vec![
            piece(Some(1), Some("1"), Some("a"), r#"{"x""#),
            piece(Some(1), Some("1"), Some("a"), ":1}"),
            piece(Some(2), Some("2"), Some("b"), r#"{"y":2}"#),
        ],
        // A new id for every piece.
        vec![
            piece(Some(0), Some("1"), Some("a"), r#"{"x""#),
            piece(Some(0), Some("3"), None, ":1}"),
            piece(Some(1), Some("2"), Some("b"), r#"{"y":2}"#),
        ],
        // No ids at all.
        vec![
            piece(Some(0), None, Some("a"), r#"{"x":1}"#),
            piece(Some(0), None, Some("b"), r#"{"y":2}"#),
        ],
        // The name after the arguments have begun.
        vec![
            piece(Some(0), Some("1"), None, r#"{"x""#),
            piece(Some(0), None, Some("a"), ":1}"),
            piece(Some(1), Some("2"), Some("b"), r#"{"y":2}"#),
        ],
    ];
    for stream in streams {
        assert_eq!(
            calls(&stream),
            (two.clone(), StopReason::ToolUse),
            "{stream:#?}"
        );
    }
}

#[test]
fn calls_that_share_an_id_are_told_apart_by_their_numbers() {
    let piece = |index: u64, name: &str, arguments: &str| json!({ "index": index, "id": "x", "function": { "name": name, "arguments": arguments } });
    let pieces = [piece(0, "a", "{\"p\":1}"), piece(1, "b", "{\"q\":2}")];
    let (said, _) = calls(&pieces);
    assert_eq!(said, named(&[("a", "{\"p\":1}"), ("b", "{\"q\":2}")]));
    let chunks = pieces.map(|piece| chunk(&json!({ "tool_calls": [piece] }), None));
    let (deltas, _) = play_chat(&done(&chunks), usize::MAX);
    let ids: std::collections::BTreeSet<String> = items(&deltas)
        .into_iter()
        .map(|item| match item.content {
            Content::ToolCall(call) => call.call_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 2, "results are told apart by them: {ids:?}");
}

#[test]
fn arguments_may_be_an_object_or_nothing() {
    let object =
        json!({ "index": 0, "id": "1", "function": { "name": "a", "arguments": { "x": 1 } } });
    assert_eq!(calls(&[object]).0, named(&[("a", r#"{"x":1}"#)]));
    let nothing = json!({ "index": 0, "id": "1", "function": { "name": "a" } });
    assert_eq!(calls(&[nothing]).0, named(&[("a", "{}")]));
}

#[test]
fn a_signature_beside_a_call_is_kept() {
    let call = json!({ "index": 0, "id": "1", "function": { "name": "a", "arguments": "{}" },
        "extra_content": { "google": { "thought_signature": "s/=" } } });
    let events = [chunk(&json!({ "tool_calls": [call] }), Some("stop"))];
    let (deltas, finish) = play_chat(&done(&events), usize::MAX);
    let native = items(&deltas)[0].native.clone().unwrap();
    assert!(
        native
            .json
            .as_str()
            .contains(r#""extra_content":{"google":{"thought_signature":"s/="}}"#)
    );
    assert_eq!(finish.unwrap().stop, StopReason::ToolUse);
}

#[test]
fn reasoning_is_found_wherever_it_is() {
    let cases = [
        (
            json!({ "reasoning_content": "why" }),
            json!({ "reasoning_content": "why" }),
        ),
        (json!({ "reasoning": "why" }), json!({ "reasoning": "why" })),
        (
            json!({ "reasoning": "why", "reasoning_content": "why" }),
            json!({ "reasoning_content": "why" }),
        ),
        (
            json!({ "reasoning": "why", "reasoning_details": [{ "type": "reasoning.text", "index": 0, "text": "why", "signature": "s" }] }),
            json!({ "reasoning_details": [{ "type": "reasoning.text", "index": 0, "text": "why", "signature": "s" }] }),
        ),
        (
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "why" }] }] }),
            json!({ "thinking": [{ "type": "text", "text": "why" }] }),
        ),
        (
            json!({ "content": "\n<think>why</think>\n\n" }),
            json!({ "inline": "\n<think>why</think>\n\n" }),
        ),
    ];
    for (delta, expected) in cases {
        let events = [
            chunk(&delta, None),
            chunk(&json!({ "content": "so" }), Some("stop")),
        ];
        let (deltas, _) = play_chat(&done(&events), usize::MAX);
        let items = items(&deltas);
        assert_eq!(items[0].content, Content::Reasoning { text: "why".into() });
        let native: Value =
            serde_json::from_str(items[0].native.as_ref().unwrap().json.as_str()).unwrap();
        assert_eq!(native, expected);
        assert_eq!(items[1].content, Content::Text { text: "so".into() });
        assert_eq!(streamed(&deltas), ("so".to_owned(), "why".to_owned()));
    }
}

#[test]
fn a_text_that_only_looks_like_reasoning_is_a_text() {
    for text in ["<thin", "<b>x</b>", " <", "a <think>b</think>"] {
        let events = [chunk(&json!({ "content": text }), Some("stop"))];
        let (deltas, _) = play_chat(&done(&events), usize::MAX);
        assert_eq!(streamed(&deltas), (text.to_owned(), String::new()));
    }
}

#[test]
fn each_end_has_its_reason() {
    let cases = [
        ("stop", StopReason::EndTurn),
        ("eos", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("model_length", StopReason::ContextOverflow),
        ("content_filter", StopReason::Refusal),
        ("sensitive", StopReason::Refusal),
        ("model_context_window_exceeded", StopReason::ContextOverflow),
        ("brand_new", StopReason::Other),
    ];
    for (reason, expected) in cases {
        let events = [chunk(&json!({ "content": "a" }), Some(reason))];
        let finish = play_chat(&done(&events), usize::MAX).1.unwrap();
        assert_eq!((finish.stop, finish.raw.as_str()), (expected, reason));
    }
    let broken = [
        ("error", FailureKind::Transport),
        ("network_error", FailureKind::Transport),
        ("abort", FailureKind::Transport),
        ("insufficient_system_resource", FailureKind::Overloaded),
        // It says that it calls, and does not.
        ("tool_calls", FailureKind::MalformedReply),
        ("function_call", FailureKind::MalformedReply),
    ];
    for (reason, expected) in broken {
        let events = [chunk(&json!({ "content": "a" }), Some(reason))];
        let error = play_chat(&done(&events), usize::MAX).1.unwrap_err();
        assert_eq!((error.kind, error.retryable), (expected, true));
    }
}

#[test]
fn a_full_context_is_told_from_a_full_reply() {
    let mut last = chunk(&json!({ "content": "a" }), Some("length"));
    last["usage"] = json!({ "prompt_tokens": 999_000, "completion_tokens": 1_000 });
    let finish = play_chat(&done(&[last]), usize::MAX).1.unwrap();
    assert_eq!(finish.stop, StopReason::ContextOverflow);
}

#[test]
fn an_end_without_a_reason_is_one_and_no_end_is_none() {
    let events = [chunk(&json!({ "content": "a" }), None)];
    let finish = play_chat(&done(&events), usize::MAX).1.unwrap();
    assert_eq!(
        (finish.stop, finish.raw.as_str()),
        (StopReason::EndTurn, "")
    );
    let error = play_chat(&frames(&events), usize::MAX).1.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::Transport, true)
    );
}

#[test]
fn errors_in_the_stream_have_their_kinds() {
    let cases = [
        (
            json!({ "error": { "message": "slow down", "code": 429 } }),
            FailureKind::RateLimited,
            true,
        ),
        (
            json!({ "error": "overloaded", "code": 503 }),
            FailureKind::Overloaded,
            true,
        ),
        (
            json!({ "object": "error", "message": "no", "type": "invalid_request_error" }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            json!({ "error": { "message": "boom", "type": "server_error" } }),
            FailureKind::Transport,
            true,
        ),
        (
            json!({ "error": { "message": "too large", "code": "image_too_large" } }),
            FailureKind::ProviderRequest,
            false,
        ),
        (
            json!({ "error": { "message": "no money", "code": "insufficient_quota", "metadata": null } }),
            FailureKind::ProviderBudget,
            false,
        ),
        (
            json!({ "error": { "message": "too long", "type": "exceed_context_size_error", "n_ctx": 4096 } }),
            FailureKind::ContextOverflow,
            false,
        ),
    ];
    for (event, kind, retryable) in cases {
        let events = [chunk(&json!({ "content": "so far" }), None), event];
        let (deltas, finish) = play_chat(&frames(&events), usize::MAX);
        let error = finish.unwrap_err();
        assert_eq!(
            (error.kind, error.retryable),
            (kind, retryable),
            "{}",
            error.message
        );
        assert_eq!(streamed(&deltas).0, "so far");
    }
}

#[test]
fn only_the_first_of_several_answers_counts() {
    let mut other = chunk(&json!({ "content": "B" }), None);
    other["choices"][0]["index"] = json!(1);
    let events = [
        chunk(&json!({ "content": "A" }), None),
        other,
        chunk(&json!({}), Some("stop")),
    ];
    let (deltas, _) = play_chat(&done(&events), usize::MAX);
    assert_eq!(streamed(&deltas).0, "A");
}

fn delta() -> impl Strategy<Value = Value> {
    let text = "[a-z<>/ \n]{0,6}|<think>|</think>|ü|🦀";
    prop_oneof![
        text.prop_map(|text| json!({ "content": text })),
        text.prop_map(|text| json!({ "reasoning_content": text })),
        (0_u64..3, proptest::option::of("[a-c]"), "[{}\":0-9]{0,4}").prop_map(
            |(index, name, arguments)| json!({ "tool_calls": [{ "index": index, "function": { "name": name, "arguments": arguments } }] })
        ),
        Just(json!({ "refusal": null, "content": null })),
    ]
}

proptest! {
    /// Whatever comes, the cutting makes no difference, and nothing that was said is lost.
    #[test]
    fn every_cutting_says_the_same(deltas in proptest::collection::vec(delta(), 0..12), piece in 1_usize..40) {
        let mut events: Vec<Value> = deltas.iter().map(|delta| chunk(delta, None)).collect();
        events.push(chunk(&json!({}), Some("stop")));
        let bytes = done(&events);
        let (whole, _) = in_every_cutting(play_chat, &bytes, piece);
        let sent: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
        let mut kept = String::new();
        for item in items(&whole) {
            let native: Value = serde_json::from_str(item.native.as_ref().unwrap().json.as_str()).unwrap();
            kept += native["inline"].as_str().unwrap_or_default();
            kept += native["content"].as_str().unwrap_or_default();
        }
        let has_reasoning = deltas.iter().any(|delta| delta["reasoning_content"].is_string());
        if !has_reasoning {
            prop_assert_eq!(kept, sent);
        }
    }

    /// Bytes that are no stream are an error, never a panic.
    #[test]
    fn nonsense_is_survived(bytes in nonsense(), piece in 1_usize..9) {
        for bytes in [as_event(&bytes), bytes] {
            prop_assert!(in_every_cutting(play_chat, &bytes, piece).1.is_err());
        }
    }
}

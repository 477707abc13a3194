//! Bytes of a stream to deltas, without a connection.

use pullwright_protocol::provider::{Delta, ProviderError, StopReason};
use pullwright_protocol::{Content, FailureKind, Provenance, RawJson};
use pullwright_providers::{Finish, Reply, SseParser};
use serde_json::{Value, json};

/// What came out of a stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Played {
    pub(crate) deltas: Vec<Delta>,
    pub(crate) finish: Option<Finish>,
    pub(crate) error: Option<ProviderError>,
    /// How many bytes were taken when the first reply was complete.
    pub(crate) first_finish_at: Option<usize>,
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        provider: "anthropic".into(),
        wire: "anthropic_messages".into(),
        model: "claude-test".into(),
        account: None,
    }
}

fn new_reply() -> Reply {
    Reply::new(provenance(), "TEST_KEY".into())
}

/// Plays bytes in pieces. A recording may hold several replies in a row.
pub(crate) fn play(bytes: &[u8], piece: usize) -> Played {
    let mut played = Played::default();
    let (mut parser, mut reply) = (SseParser::default(), new_reply());
    let mut taken = 0;
    for piece in bytes.chunks(piece) {
        taken += piece.len();
        let mut events = Vec::new();
        parser.push(piece, |event| events.push(event)).unwrap();
        for event in events.into_iter().filter(|event| event != b"[DONE]") {
            match reply.take(&event, &mut played.deltas) {
                Ok(None) => {}
                Ok(Some(finish)) => {
                    played.finish = Some(finish);
                    played.first_finish_at.get_or_insert(taken);
                    reply = new_reply();
                }
                Err(error) => {
                    played.error = Some(error);
                    return played;
                }
            }
        }
    }
    played
}

pub(crate) fn frames(events: &[Value]) -> Vec<u8> {
    let frame = |event: &Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    };
    events.iter().map(frame).collect::<String>().into_bytes()
}

/// A whole reply around `blocks`, the events of its content.
pub(crate) fn reply_events(blocks: &[Value], stop: &str) -> Vec<Value> {
    let mut events = vec![
        json!({ "type": "message_start", "message": { "id": "m", "content": [], "usage": {
        "input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 500, "output_tokens": 1 } } }),
    ];
    events.extend_from_slice(blocks);
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop }, "usage": { "output_tokens": 20 } }));
    events.push(json!({ "type": "message_stop" }));
    events
}

pub(crate) fn text_block(index: u64, text: &str) -> Vec<Value> {
    vec![
        json!({ "type": "content_block_start", "index": index, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": index, "delta": { "type": "text_delta", "text": text } }),
        json!({ "type": "content_block_stop", "index": index }),
    ]
}

fn natives(played: &Played) -> Vec<Option<&str>> {
    let items = played.deltas.iter().filter_map(|delta| match delta {
        Delta::Item { item } => Some(item),
        _ => None,
    });
    items
        .map(|item| item.native.as_ref().map(|native| native.json.as_str()))
        .collect()
}

#[test]
fn arguments_go_back_byte_for_byte_and_fields_keep_their_order() {
    let raw = concat!(
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"zeta\":1.50,\"name\":\"n\",\"input\":{},\"caller\":{\"type\":\"direct\"}}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"b\\\": 1.0,  \"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"a\\\":2}\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    );
    let played = play(raw.as_bytes(), 7);
    let native = r#"{"type":"tool_use","id":"t","zeta":1.50,"name":"n","input":{"b": 1.0,  "a":2},"caller":{"type":"direct"}}"#;
    assert_eq!(natives(&played), [Some(native)]);
}

#[test]
fn arguments_that_are_no_object_are_kept_as_text_and_not_as_native() {
    for (arguments, expected) in [("{\"a\":", "{\"a\":"), ("[1]", "[1]"), ("", "{}")] {
        let blocks = [
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "tool_use", "id": "t", "name": "n", "input": {} } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": arguments } }),
            json!({ "type": "content_block_stop", "index": 0 }),
        ];
        let played = play(&frames(&reply_events(&blocks, "tool_use")), usize::MAX);
        let Some(Delta::Item { item }) = played
            .deltas
            .iter()
            .find(|delta| matches!(delta, Delta::Item { .. }))
        else {
            panic!("no item");
        };
        let Content::ToolCall(call) = &item.content else {
            panic!("{item:?}")
        };
        assert_eq!(call.arguments, expected);
        assert_eq!(item.native.is_some(), expected == "{}");
    }
}

#[test]
fn thinking_keeps_its_signature_and_redacted_thinking_its_data() {
    let blocks = [
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "sig/+==" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "redacted_thinking", "data": "xyz" } }),
        json!({ "type": "content_block_stop", "index": 1 }),
    ];
    let played = play(&frames(&reply_events(&blocks, "end_turn")), 1);
    let natives: Vec<Value> = natives(&played)
        .into_iter()
        .map(|json| serde_json::from_str(json.unwrap()).unwrap())
        .collect();
    assert_eq!(
        natives[0],
        json!({ "type": "thinking", "thinking": "", "signature": "sig/+==" })
    );
    assert_eq!(
        natives[1],
        json!({ "type": "redacted_thinking", "data": "xyz" })
    );
}

#[test]
fn a_block_with_an_unknown_piece_is_not_sent_back() {
    let blocks = [
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "hologram", "data": 1 } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "hologram_delta", "data": 2 } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "hologram", "data": 1 } }),
        json!({ "type": "content_block_stop", "index": 1 }),
    ];
    let played = play(&frames(&reply_events(&blocks, "end_turn")), usize::MAX);
    assert_eq!(natives(&played)[0], None);
    assert!(natives(&played)[1].is_some_and(|json| RawJson::parse(json).is_ok()));
}

#[test]
fn all_input_is_counted_and_the_last_figure_wins() {
    let played = play(
        &frames(&reply_events(&text_block(0, "hi"), "end_turn")),
        usize::MAX,
    );
    let usages: Vec<_> = played
        .deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::Usage { usage } => Some((
                usage.input_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.output_tokens,
            )),
            _ => None,
        })
        .collect();
    assert_eq!(usages, [(543, 40, 500, 1), (543, 40, 500, 20)]);
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let reasons = [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("tool_use", StopReason::ToolUse),
        ("max_tokens", StopReason::MaxTokens),
        ("pause_turn", StopReason::Pause),
        ("refusal", StopReason::Refusal),
        ("model_context_window_exceeded", StopReason::ContextOverflow),
        ("something_new", StopReason::Other),
    ];
    for (raw, stop) in reasons {
        let played = play(&frames(&reply_events(&[], raw)), usize::MAX);
        assert_eq!(
            played.finish,
            Some(Finish {
                stop,
                raw: raw.into()
            })
        );
    }
}

#[test]
fn a_refusal_says_why() {
    let events = [
        json!({ "type": "message_delta", "delta": { "stop_reason": "refusal", "stop_details": { "category": "cyber", "explanation": "no exploits" } } }),
        json!({ "type": "message_stop" }),
    ];
    let finish = play(&frames(&events), usize::MAX).finish.unwrap();
    assert_eq!(
        (finish.stop, finish.raw.as_str()),
        (StopReason::Refusal, "refusal: cyber: no exploits")
    );
}

#[test]
fn an_error_in_the_stream_keeps_the_text_so_far() {
    let cases = [
        ("overloaded_error", FailureKind::Overloaded, true),
        ("rate_limit_error", FailureKind::RateLimited, true),
        ("api_error", FailureKind::Transport, true),
        ("timeout_error", FailureKind::Transport, true),
        ("authentication_error", FailureKind::ProviderAuth, false),
        ("billing_error", FailureKind::ProviderBudget, false),
        ("invalid_request_error", FailureKind::ProviderRequest, false),
        ("request_too_large", FailureKind::ContextOverflow, false),
    ];
    for (name, kind, retryable) in cases {
        let mut events = text_block(0, "so far");
        events.push(
            json!({ "type": "error", "error": { "type": name, "message": "what happened" } }),
        );
        events.extend(reply_events(&[], "end_turn"));
        let played = play(&frames(&events), 3);
        let error = played.error.unwrap();
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{name}");
        assert!(
            error.message.contains(name) && error.message.contains("what happened"),
            "{}",
            error.message
        );
        assert!(played.deltas.contains(&Delta::Text {
            delta: "so far".into()
        }));
        assert_eq!(played.finish, None);
    }
}

#[test]
fn an_event_that_is_no_json_breaks_the_reply() {
    let played = play(b"data: <html>\n\n", usize::MAX);
    assert_eq!(played.error.unwrap().kind, FailureKind::Transport);
}

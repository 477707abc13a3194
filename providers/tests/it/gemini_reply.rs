//! What the recordings of Gemini lack.

use proptest::prelude::*;
use pullwright_protocol::provider::{Delta, StopReason, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item, ToolCall};
use serde_json::{Value, json};

use crate::client::items;
use crate::gemini_stream::{event, frames, new_reply, play};
use crate::properties::{as_event, in_every_cutting, nonsense, words};

fn finish(parts: &Value, reason: &str) -> (StopReason, String) {
    let (_, finish) = play(&frames(&[event(parts, Some(reason))]), usize::MAX);
    let finish = finish.unwrap();
    (finish.stop, finish.raw)
}

#[test]
fn each_reason_is_kept_and_mapped() {
    use StopReason as S;
    let text = json!([{ "text": "hello" }]);
    let call = json!([{ "functionCall": { "name": "read", "args": {} } }]);
    let cases = [
        (&text, "STOP", S::EndTurn),
        (&call, "STOP", S::ToolUse),
        (&call, "FUNCTION_CALL", S::ToolUse),
        (&text, "MAX_TOKENS", S::MaxTokens),
        (&call, "MAX_TOKENS", S::MaxTokens),
        (&text, "SAFETY", S::Refusal),
        (&text, "RECITATION", S::Refusal),
        (&text, "PROHIBITED_CONTENT", S::Refusal),
        (&text, "MALFORMED_FUNCTION_CALL", S::Other),
        (&text, "UNEXPECTED_TOOL_CALL", S::Other),
        (&text, "TOO_MANY_TOOL_CALLS", S::Other),
        (&text, "MISSING_THOUGHT_SIGNATURE", S::Other),
        (&text, "MALFORMED_RESPONSE", S::Other),
        (&text, "BRAND_NEW", S::Other),
    ];
    for (parts, reason, stop) in cases {
        assert_eq!(finish(parts, reason), (stop, reason.to_owned()));
    }
}

#[test]
fn a_reason_without_an_answer_says_what_was_wrong() {
    let mut malformed = event(&json!([]), Some("MALFORMED_FUNCTION_CALL"));
    malformed["candidates"][0]["finishMessage"] = json!("Malformed function call: read(");
    malformed["candidates"][0]
        .as_object_mut()
        .unwrap()
        .remove("content");
    let (_, finish) = play(&frames(&[malformed]), 1);
    let finish = finish.unwrap();
    let raw = "MALFORMED_FUNCTION_CALL: Malformed function call: read(";
    assert_eq!((finish.stop, finish.raw.as_str()), (StopReason::Other, raw));
}

#[test]
fn a_refused_prompt_is_a_refusal() {
    let blocked = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" }, "usageMetadata": { "promptTokenCount": 7 } });
    let (deltas, finish) = play(&frames(&[blocked]), 1);
    let finish = finish.unwrap();
    assert_eq!(
        (finish.stop, finish.raw.as_str()),
        (StopReason::Refusal, "PROHIBITED_CONTENT")
    );
    assert_eq!(items(&deltas), []);
}

#[test]
fn parallel_calls_without_ids_get_ids_of_their_own() {
    let parts = json!([
        { "functionCall": { "name": "read", "args": { "path": "a" } }, "thoughtSignature": "s1" },
        { "functionCall": { "name": "read", "args": { "path": "b" } } },
        { "functionCall": { "name": "read", "id": "x9" } },
        { "functionCall": { "name": "read", "id": "", "args": null } },
    ]);
    let earlier = Content::ToolCall(ToolCall {
        call_id: "unnamed_call_4".into(),
        name: "read".into(),
        arguments: "{}".into(),
    });
    let mut reply = new_reply(vec![Item::user("hi"), Item::neutral(earlier)]);
    let mut out = Vec::new();
    reply
        .push(&frames(&[event(&parts, Some("STOP"))]), &mut out)
        .unwrap();
    assert_eq!(reply.end(&mut out).unwrap().stop, StopReason::ToolUse);
    let calls: Vec<(String, String)> = items(&out)
        .into_iter()
        .map(|item| match item.content {
            Content::ToolCall(call) => (call.call_id, call.arguments),
            other => panic!("no call but {other:?}"),
        })
        .collect();
    let expected = [
        ("unnamed_call_5", r#"{"path":"a"}"#),
        ("unnamed_call_6", r#"{"path":"b"}"#),
        ("x9", "{}"),
        ("unnamed_call_7", "{}"),
    ];
    assert_eq!(
        calls,
        expected.map(|(id, arguments)| (id.to_owned(), arguments.to_owned()))
    );
}

#[test]
fn signed_and_unsigned_text_is_not_joined() {
    let events = [
        event(&json!([{ "text": "let me ", "thought": true }]), None),
        event(&json!([{ "text": "see", "thought": true }]), None),
        event(&json!([{ "text": "one " }, { "text": "two" }]), None),
        event(
            &json!([{ "text": " three", "thoughtSignature": "s" }, { "text": " four" }]),
            None,
        ),
        event(
            &json!([{ "text": "", "thoughtSignature": "t" }, { "text": "" }]),
            Some("STOP"),
        ),
    ];
    let (deltas, _) = play(&frames(&events), 3);
    let natives: Vec<Value> = items(&deltas)
        .iter()
        .map(|item| serde_json::from_str(item.native.as_ref().unwrap().json.as_str()).unwrap())
        .collect();
    let expected = [
        json!({ "text": "let me see", "thought": true }),
        json!({ "text": "one two" }),
        json!({ "text": " three", "thoughtSignature": "s" }),
        json!({ "text": " four" }),
        json!({ "text": "", "thoughtSignature": "t" }),
    ];
    assert_eq!(natives, expected);
}

#[test]
fn counts_are_cumulative_and_thoughts_are_output() {
    let mut last = event(&json!([]), Some("STOP"));
    last["usageMetadata"] = json!({ "candidatesTokenCount": 9, "toolUsePromptTokenCount": 5 });
    let (deltas, _) = play(&frames(&[event(&json!([{ "text": "a" }]), None), last]), 1);
    let usage = TokenUsage {
        input_tokens: 35,
        cached_tokens: 10,
        cache_write_tokens: 0,
        output_tokens: 12,
    };
    assert!(deltas.contains(&Delta::Usage { usage }), "{deltas:#?}");
}

#[test]
fn an_error_in_the_stream_keeps_what_was_said_before_it() {
    let broken = json!({ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } });
    for end in ["\r\n\r\n", ""] {
        let mut bytes = frames(&[event(&json!([{ "text": "hel" }]), None)]);
        bytes.extend(format!("data: {broken}{end}").into_bytes());
        let (deltas, finish) = play(&bytes, usize::MAX);
        let error = finish.unwrap_err();
        assert_eq!(
            (error.kind, error.retryable),
            (FailureKind::Overloaded, true)
        );
        let said = "gemini: the API broke the reply off with UNAVAILABLE: The model is overloaded.";
        assert_eq!(error.message, said);
        assert!(deltas.contains(&Delta::Text {
            delta: "hel".into()
        }));
    }
}

#[test]
fn an_event_that_makes_no_sense_is_worth_a_retry() {
    let (_, finish) = play(b"data: {\"candidates\":7}\n\n", 1);
    let error = finish.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (FailureKind::Transport, true)
    );
    assert!(
        error
            .message
            .starts_with("gemini: an event of the stream makes no sense: ")
    );
}

fn streamed_call(pieces: &[Value], finish: &str) -> Item {
    let mut events = vec![event(
        &json!([{ "functionCall": { "name": "edit", "id": "c", "willContinue": true }, "thoughtSignature": "s" }]),
        None,
    )];
    events.extend(
        pieces
            .iter()
            .map(|piece| event(&json!([{ "functionCall": piece }]), None)),
    );
    events.push(event(&json!([]), Some(finish)));
    let (deltas, _) = play(&frames(&events), 11);
    items(&deltas).remove(0)
}

fn arguments(item: &Item) -> &str {
    match &item.content {
        Content::ToolCall(call) => &call.arguments,
        other => panic!("no call but {other:?}"),
    }
}

#[test]
fn streamed_arguments_take_every_kind_of_value_and_path() {
    let partial = |path: &str, key: &str, value: Value| json!({ "partialArgs": [{ "jsonPath": path, key: value }], "willContinue": true });
    let item = streamed_call(
        &[
            partial("$.a['b c'][0]", "numberValue", json!(1.5)),
            partial("$.a['b c'][1]", "boolValue", json!(true)),
            partial("$.n", "nullValue", json!(null)),
            partial("$.s", "stringValue", json!("x\"")),
            partial("$.s", "stringValue", json!("é")),
            json!({}),
        ],
        "STOP",
    );
    let expected = json!({ "a": { "b c": [1.5, true] }, "n": null, "s": "x\"é" });
    assert_eq!(
        serde_json::from_str::<Value>(arguments(&item)).unwrap(),
        expected
    );
    let part: Value = serde_json::from_str(item.native.unwrap().json.as_str()).unwrap();
    let whole = json!({ "functionCall": { "id": "c", "name": "edit", "args": expected }, "thoughtSignature": "s" });
    assert_eq!(part, whole);
}

#[test]
fn half_a_call_and_one_that_fits_nowhere_cannot_run() {
    let deep = format!("${}", ".a".repeat(100_000));
    let half = json!({ "partialArgs": [{ "jsonPath": "$.s", "stringValue": "rm" }], "willContinue": true });
    assert_eq!(
        arguments(&streamed_call(std::slice::from_ref(&half), "MAX_TOKENS")),
        r#"{"s":"rm""#
    );
    for path in [
        "$.s[9]",
        "$.list[4000000000]",
        "s",
        "$",
        "$..s",
        "$.s.t",
        "$[",
        &deep,
    ] {
        let wild = json!({ "partialArgs": [{ "jsonPath": path, "stringValue": "x" }] });
        let item = streamed_call(&[half.clone(), wild], "STOP");
        if path != "$..s" {
            assert!(
                serde_json::from_str::<Value>(arguments(&item)).is_err(),
                "{path}"
            );
            assert_eq!(item.native, None, "{path}");
        }
    }
}

fn parts() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[^\u{0}]{0,6}".prop_map(|text| json!({ "text": text })),
        "[^\u{0}]{0,6}".prop_map(|text| json!({ "text": text, "thought": true })),
        "[^\u{0}]{0,6}".prop_map(|text| json!({ "text": text, "thoughtSignature": "s" })),
        "[a-z]{1,3}"
            .prop_map(|name| json!({ "functionCall": { "name": name, "args": { "a": name } } })),
        Just(json!({ "functionCall": { "partialArgs": [{ "jsonPath": "$.a" }] } })),
        Just(json!({ "functionCall": { "name": "f", "willContinue": true } })),
        Just(json!({ "inlineData": { "data": "AAAA" } })),
    ]
}

proptest! {
    #[test]
    fn no_cutting_changes_a_reply_and_no_text_is_lost(
        turns in proptest::collection::vec(proptest::collection::vec(parts(), 0..4), 1..6),
        piece in 1_usize..60,
    ) {
        let mut events: Vec<Value> = turns.iter().map(|parts| event(&json!(parts), None)).collect();
        events.push(event(&json!([]), Some("STOP")));
        let bytes = frames(&events);
        let (deltas, finish) = in_every_cutting(play, &bytes, piece);
        prop_assert!(finish.is_ok());
        let said: String = turns.iter().flatten().filter_map(|part| part["text"].as_str()).collect();
        prop_assert_eq!(words(&items(&deltas)), said);
    }

    #[test]
    fn garbage_is_an_error_and_no_end(bytes in nonsense(), piece in 1_usize..40) {
        prop_assert!(in_every_cutting(play, &as_event(&bytes), piece).1.is_err());
    }
}

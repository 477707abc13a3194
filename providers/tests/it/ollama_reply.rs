//! What the recordings of Ollama lack.

use proptest::prelude::*;
use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_protocol::{Content, FailureKind, Item, ToolCall};
use pullwright_providers::LineParser;
use serde_json::{Value, json};

use crate::client::items;
use crate::ollama_stream::{CONTEXT, done, lines, new_reply, play, said};
use crate::properties::{in_every_cutting, nonsense, words};

fn call(id: Option<&str>, arguments: &Value) -> Value {
    let mut call = json!({ "function": { "name": "read", "arguments": arguments } });
    if let Some(id) = id {
        call["id"] = json!(id);
    }
    said(&json!({ "role": "assistant", "content": "", "tool_calls": [call] }))
}

#[test]
fn each_reason_is_kept_and_mapped() {
    use StopReason as S;
    let text = said(&json!({ "content": "hello" }));
    let call = call(None, &json!({}));
    for (line, reason, stop) in [
        (&text, "stop", S::EndTurn),
        (&call, "stop", S::ToolUse),
        (&text, "length", S::MaxTokens),
        (&text, "load", S::Other),
    ] {
        let (_, finish) = play(&lines(&[line.clone(), done(reason)]), usize::MAX);
        let finish = finish.unwrap();
        assert_eq!((finish.stop, finish.raw.as_str()), (stop, reason));
    }
}

#[test]
fn a_reply_that_fills_the_context_is_told_from_one_that_is_long() {
    for (read, stop) in [
        (CONTEXT - 8, StopReason::MaxTokens),
        (CONTEXT - 7, StopReason::ContextOverflow),
    ] {
        let mut last = done("length");
        last["prompt_eval_count"] = json!(read);
        let (_, finish) = play(&lines(&[said(&json!({ "content": "a" })), last]), 1);
        assert_eq!(finish.unwrap().stop, stop);
    }
}

#[test]
fn an_old_server_that_gives_no_reason_has_ended_all_the_same() {
    let mut last = done("");
    last.as_object_mut().unwrap().remove("done_reason");
    let (_, finish) = play(&lines(&[said(&json!({ "content": "a" })), last]), 1);
    let finish = finish.unwrap();
    assert_eq!(
        (finish.stop, finish.raw.as_str()),
        (StopReason::EndTurn, "done")
    );
}

#[test]
fn calls_without_ids_get_ids_of_their_own_and_missing_arguments_are_none() {
    let earlier = Content::ToolCall(ToolCall {
        call_id: "unnamed_call_0".into(),
        name: "read".into(),
        arguments: "{}".into(),
    });
    let mut reply = new_reply(vec![Item::user("hi"), Item::neutral(earlier)]);
    let calls = [
        call(None, &json!({ "a": 1 })),
        call(Some("x"), &json!(null)),
        call(Some(""), &json!({})),
    ];
    let mut out = Vec::new();
    reply.push(&lines(&calls), &mut out).unwrap();
    reply.push(&lines(&[done("stop")]), &mut out).unwrap();
    assert_eq!(reply.end(&mut out).unwrap().stop, StopReason::ToolUse);
    let calls: Vec<(String, String)> = items(&out)
        .into_iter()
        .map(|item| match item.content {
            Content::ToolCall(call) => (call.call_id, call.arguments),
            other => panic!("no call but {other:?}"),
        })
        .collect();
    let expected = [
        ("unnamed_call_1", r#"{"a":1}"#),
        ("x", "{}"),
        ("unnamed_call_2", "{}"),
    ];
    assert_eq!(
        calls,
        expected.map(|(id, arguments)| (id.to_owned(), arguments.to_owned()))
    );
}

#[test]
fn thinking_text_and_calls_keep_their_order() {
    let stream = [
        said(&json!({ "thinking": "I " })),
        said(&json!({ "thinking": "think", "content": "so" })),
        said(&json!({ "content": " it is" })),
        call(Some("x"), &json!({})),
        said(&json!({ "content": "after" })),
        done("stop"),
    ];
    let (deltas, _) = play(&lines(&stream), 5);
    let natives: Vec<String> = items(&deltas)
        .iter()
        .map(|item| item.native.as_ref().unwrap().json.as_str().to_owned())
        .collect();
    let call = r#"{"function":{"arguments":{},"name":"read"},"id":"x"}"#;
    let expected = [
        r#"{"thinking":"I think"}"#,
        r#"{"content":"so it is"}"#,
        call,
        r#"{"content":"after"}"#,
    ];
    assert_eq!(natives, expected);
}

#[test]
fn an_error_in_the_stream_keeps_what_was_said_before_it() {
    for (error, kind) in [
        (
            json!("an error was encountered while running the model"),
            FailureKind::Transport,
        ),
        (
            json!({ "message": "out of memory" }),
            FailureKind::ProviderRequest,
        ),
    ] {
        let mut bytes = lines(&[
            said(&json!({ "content": "hel" })),
            json!({ "error": error }),
        ]);
        for _ in 0..2 {
            let (deltas, finish) = play(&bytes, usize::MAX);
            let broken = finish.unwrap_err();
            assert_eq!(
                (broken.kind, broken.retryable),
                (kind, kind == FailureKind::Transport)
            );
            assert!(
                broken
                    .message
                    .starts_with("ollama: the API broke the reply off with an error: ")
            );
            assert!(deltas.contains(&Delta::Text {
                delta: "hel".into()
            }));
            bytes.pop();
        }
    }
}

#[test]
fn a_line_that_makes_no_sense_is_worth_a_retry() {
    for line in ["<html>\n", "7\n", "{\"message\":{\"tool_calls\":[{}]}}\n"] {
        let (_, finish) = play(line.as_bytes(), 1);
        let error = finish.unwrap_err();
        assert_eq!(
            (error.kind, error.retryable),
            (FailureKind::Transport, true)
        );
        let expected = "ollama: an event of the stream makes no sense: ";
        assert!(error.message.starts_with(expected), "{}", error.message);
    }
}

#[test]
fn what_follows_the_end_is_nothing() {
    let stream = [
        done("stop"),
        said(&json!({ "content": "more" })),
        json!({ "error": "late" }),
    ];
    let (deltas, finish) = play(&lines(&stream), 9);
    assert_eq!(finish.unwrap().stop, StopReason::EndTurn);
    assert_eq!(items(&deltas), []);
}

#[test]
fn an_endless_line_is_refused() {
    let mut parser = LineParser::default();
    let megabyte = vec![b'x'; 1024 * 1024];
    let refused = (0..40).find(|_| parser.push(&megabyte, |_| panic!("no line")).is_err());
    assert_eq!(refused, Some(32));
}

fn messages() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,6}".prop_map(|text| said(&json!({ "content": text }))),
        ".{0,6}".prop_map(|text| said(&json!({ "content": "", "thinking": text }))),
        ".{0,6}".prop_map(|text| call(None, &json!({ "a": text }))),
    ]
}

proptest! {
    #[test]
    fn no_cutting_changes_a_reply_and_no_text_is_lost(
        mut stream in proptest::collection::vec(messages(), 0..12),
        piece in 1_usize..60,
    ) {
        let text = |line: &Value| {
            let text = |key: &str| line["message"][key].as_str().unwrap_or_default().to_owned();
            text("thinking") + &text("content")
        };
        let said: String = stream.iter().map(text).collect();
        stream.push(done("stop"));
        let bytes = lines(&stream);
        let (deltas, finish) = in_every_cutting(play, &bytes, piece);
        prop_assert!(finish.is_ok());
        prop_assert_eq!(words(&items(&deltas)), said);
    }

    #[test]
    fn garbage_is_an_error_and_no_end(bytes in nonsense(), piece in 1_usize..40) {
        prop_assert!(in_every_cutting(play, &bytes, piece).1.is_err());
    }
}

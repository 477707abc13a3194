//! Items that a response has at its end, and whose own events never came.

use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_protocol::{Content, Item};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::items;
use crate::openai_stream::{frames, play_responses};
use crate::responses_recordings;

fn reasoning() -> Value {
    json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e1" })
}

fn message() -> Value {
    json!({ "type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary",
        "content": [{ "type": "output_text", "text": "a word" }] })
}

fn call() -> Value {
    json!({ "type": "function_call", "id": "fc_1", "call_id": "c1", "name": "read", "arguments": "{}" })
}

/// The same under other names.
fn renamed(mut item: Value) -> Value {
    item["id"] = json!("another");
    if item["call_id"].is_string() {
        item["call_id"] = json!(format!("another {}", item["call_id"]));
    }
    item
}

fn said(text: &str) -> Value {
    let content = json!([{ "type": "output_text", "text": text }]);
    json!({ "type": "message", "id": format!("msg {text}"), "role": "assistant", "content": content })
}

fn called(call_id: &str, arguments: &str) -> Value {
    json!({ "type": "function_call", "id": format!("fc {call_id}"), "call_id": call_id, "name": "read",
        "arguments": arguments })
}

fn done(place: usize, item: &Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": place, "item": item })
}

fn completed(output: &[Value]) -> Value {
    json!({ "type": "response.completed", "response": { "output": output } })
}

/// The `streamed` items, without a word on their places, and an end with `output`.
fn without_places(streamed: &[Value], output: &[Value]) -> Vec<Value> {
    let done = |item| json!({ "type": "response.output_item.done", "item": item });
    let events = streamed.iter().map(done);
    events.chain([completed(output)]).collect()
}

/// The native JSON of each item, and why the reply ended.
fn natives(events: &[Value]) -> (Vec<Value>, StopReason) {
    let (deltas, finish) = play_responses(&frames(events), usize::MAX);
    let natives = items(&deltas).into_iter().map(|item| native(&item));
    (natives.collect(), finish.unwrap().stop)
}

fn native(item: &Item) -> Value {
    serde_json::from_str(item.native.as_ref().unwrap().json.as_str()).unwrap()
}

#[test]
fn each_that_is_missing_comes_in_its_place() {
    let all = [reasoning(), message(), call()];
    for kept in 0..8_usize {
        let streamed = all.iter().enumerate().filter(|(n, _)| kept & (1 << n) != 0);
        let mut events: Vec<Value> = streamed.map(|(n, item)| done(n, item)).collect();
        events.push(completed(&all));
        assert_eq!(
            natives(&events),
            (all.to_vec(), StopReason::ToolUse),
            "{kept:b}"
        );
    }
}

#[test]
fn none_comes_twice_however_the_end_names_and_counts_them() {
    let streamed = [done(0, &reasoning()), done(1, &message()), done(2, &call())];
    let renamed = [reasoning(), message(), call()].map(renamed);
    let ends = [
        vec![],
        renamed.to_vec(),
        // Without the reasoning, the others move.
        renamed[1..].to_vec(),
        renamed[2..].to_vec(),
        renamed.iter().rev().cloned().collect(),
        vec![call()],
        vec![call(), message(), reasoning()],
    ];
    for end in ends {
        let mut events = streamed.to_vec();
        events.push(completed(&end));
        let (natives, _) = natives(&events);
        assert_eq!(natives, [reasoning(), message(), call()], "{end:?}");
    }
}

/// vLLM reads the whole text again for the end: calls have other ids there, and stand behind all texts,
/// which are one.
#[test]
fn none_comes_twice_where_the_end_was_read_anew() {
    let cases = [
        (
            vec![
                said("a word"),
                called("c1", "{\"n\":1}"),
                said("\n"),
                called("c2", "{\"n\":2}"),
            ],
            vec![
                said("a word\n"),
                called("c1", "{\"n\":1}"),
                called("c2", "{\"n\":2}"),
            ],
        ),
        (
            vec![reasoning(), call(), message()],
            vec![reasoning(), message(), call()],
        ),
        (
            vec![said("one"), call(), said("two"), said("three")],
            vec![said("one two"), said(" three"), call()],
        ),
        // The same call, twice.
        (
            vec![called("c1", "{}"), called("c2", "{}")],
            vec![called("c1", "{}"), called("c2", "{}")],
        ),
        (
            vec![said("one"), said("two")],
            vec![said("one two, and more")],
        ),
        (
            vec![said("one two three"), call()],
            vec![said("one"), said("two"), call()],
        ),
    ];
    for (streamed, output) in cases {
        let output: Vec<Value> = output.into_iter().map(renamed).collect();
        let (natives, _) = natives(&without_places(&streamed, &output));
        assert_eq!(natives, streamed, "{output:?}");
    }
}

/// A gateway leaves an item out and writes the JSON of the others itself.
#[test]
fn a_call_with_other_spaces_is_the_same_call() {
    for (arguments, rewritten) in [
        ("{\"a\":1,\"b\":[]}", "{ \"b\": [ ], \"a\": 1 }"),
        ("{\"a\":1", "{ \"a\": 1"),
    ] {
        let streamed = [reasoning(), called("c1", arguments)];
        let mut other_id = called("c1", rewritten);
        other_id["id"] = json!("another");
        for end in [renamed(other_id.clone()), other_id] {
            let (natives, _) = natives(&without_places(&streamed, &[end]));
            assert_eq!(natives, streamed, "{rewritten}");
        }
    }
}

#[test]
fn one_more_of_a_kind_is_missing_whatever_the_others_are_called() {
    let cases = [
        (
            vec![called("c1", "{\"n\":1}")],
            vec![called("c1", "{\"n\":1}"), called("c2", "{\"n\":2}")],
        ),
        // The same call, twice.
        (
            vec![called("c1", "{}")],
            vec![called("c1", "{}"), called("c2", "{}")],
        ),
        (vec![said("one")], vec![said("one"), said("two")]),
    ];
    for (streamed, output) in cases {
        let output: Vec<Value> = output.into_iter().map(renamed).collect();
        let (natives, _) = natives(&without_places(&streamed, &output));
        assert_eq!(natives, [streamed, output[1..].to_vec()].concat());
    }
}

/// What an item says may be written anew, and its place be another's; its name stays its own.
#[test]
fn a_name_tells_more_than_the_place() {
    let streamed = [called("c1", "{\"n\":1}")];
    let mut rewritten = called("c1", "{\"n\":\"1\"}");
    let other = called("c2", "{\"n\":2}");
    for (id, call_id) in [("fc c1", "another"), ("another", "c1")] {
        rewritten["id"] = json!(id);
        rewritten["call_id"] = json!(call_id);
        let output = [other.clone(), rewritten.clone()];
        let (natives, _) = natives(&without_places(&streamed, &output));
        assert_eq!(
            natives,
            [other.clone(), streamed[0].clone()],
            "{id} {call_id}"
        );
    }
}

#[test]
fn once_one_is_missing_the_others_stand_as_they_do_at_the_end() {
    let streamed = [message(), call()];
    let output = [reasoning(), message(), call()];
    let all = natives(&without_places(&streamed, &output)).0;
    assert_eq!(all, output);
    // What the end lacks stays behind what it came after.
    let streamed = [message(), said("left out"), call()];
    let all = natives(&without_places(&streamed, &output)).0;
    assert_eq!(all, [reasoning(), message(), said("left out"), call()]);
}

#[test]
fn an_item_at_the_end_that_makes_no_sense_costs_no_complete_reply() {
    let broken = json!({ "type": "function_call", "id": "fc_9", "name": 7 });
    let output = [message(), call(), broken.clone(), json!("nonsense")];
    let (all, stop) = natives(&without_places(&[message()], &output));
    assert_eq!((all, stop), (vec![message(), call()], StopReason::ToolUse));
    // Where it is all there is, asking again helps more.
    let (_, finish) = play_responses(&frames(&[completed(&[broken])]), usize::MAX);
    assert!(finish.unwrap_err().retryable);
}

#[test]
fn a_call_whose_end_is_missing_is_shown_once() {
    let events = [
        json!({ "type": "response.output_item.added", "output_index": 1, "item": call() }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}" }),
        done(0, &message()),
        completed(&[message(), call()]),
    ];
    let (deltas, _) = play_responses(&frames(&events), usize::MAX);
    let shown = |delta: &&Delta| {
        matches!(
            delta,
            Delta::ToolCallStarted { .. } | Delta::ToolCallArguments { .. }
        )
    };
    assert_eq!(deltas.iter().filter(shown).count(), 2, "{deltas:?}");
    let called = items(&deltas)
        .into_iter()
        .any(|item| matches!(item.content, Content::ToolCall(_)));
    assert!(called);
}

/// Whichever event of a recording is left out, the item comes with the bytes that it has at the end.
#[test]
fn recordings_lose_nothing_by_an_event_that_is_left_out() {
    #[derive(serde::Deserialize)]
    struct End<'a> {
        #[serde(borrow)]
        response: Output<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Output<'a> {
        #[serde(borrow)]
        output: Vec<&'a RawValue>,
    }
    let mut left_out = 0;
    for path in responses_recordings::streams() {
        let name = path.display().to_string();
        let text = String::from_utf8(responses_recordings::bytes(&path)).unwrap();
        let text = text.replace("\r\n", "\n");
        let frames: Vec<&str> = text.split_inclusive("\n\n").collect();
        let of_kind = |kind: &str| {
            let kind = format!("\"type\":\"{kind}\"");
            let is_it = move |frame: &&str| frame.replace(": ", ":").contains(&kind);
            frames.iter().copied().filter(is_it).collect::<Vec<_>>()
        };
        let Some(end) = of_kind("response.completed").pop() else {
            continue;
        };
        let end = end.lines().find_map(|line| line.strip_prefix("data:"));
        let end: End<'_> = serde_json::from_str(end.unwrap()).unwrap();
        let output = end.response.output;
        let dones = of_kind("response.output_item.done");
        let (whole, _) = play_responses(text.as_bytes(), usize::MAX);
        let whole = items(&whole);
        assert_eq!(whole.len(), output.len(), "{name}");
        for gone in &dones {
            left_out += 1;
            let rest: String = frames
                .iter()
                .filter(|frame| *frame != gone)
                .copied()
                .collect();
            let (deltas, finish) = play_responses(rest.as_bytes(), usize::MAX);
            assert!(finish.is_ok(), "{name}");
            let items = items(&deltas);
            assert_eq!(items.len(), whole.len(), "{name}: {gone}");
            for ((item, before), at_end) in items.iter().zip(&whole).zip(&output) {
                assert_eq!(item.content, before.content, "{name}: {gone}");
                let json = item.native.as_ref().unwrap().json.as_str();
                let streamed = before.native.as_ref().unwrap().json.as_str();
                assert!(json == streamed || json == at_end.get(), "{name}: {json}");
            }
        }
    }
    assert!(left_out > 0 || responses_recordings::streams().is_empty());
}

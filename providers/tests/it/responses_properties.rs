//! What holds of every stream of Responses.

use proptest::collection::vec;
use proptest::prelude::*;
use pullwright_protocol::provider::Delta;
use pullwright_protocol::{Content, ToolCall};
use serde_json::{Value, json};

use crate::client::items;
use crate::openai_stream::{frames, play_responses};
use crate::properties::{as_event, contents, cut, in_every_cutting, nonsense, pieces, wild_events};
use crate::streams::streamed;

/// An item of a response: its pieces, and what it is in the end.
#[derive(Clone, Debug)]
struct Made {
    native: Value,
    deltas: Vec<Value>,
    content: Content,
}

/// What the item at a place is made of.
type Maker = (u8, Vec<String>, usize);

fn maker() -> impl Strategy<Value = Maker> {
    (0_u8..4, pieces(), 1_usize..9)
}

/// No two items of a response are the same, as their places are in what they say.
fn make(place: usize, (kind, pieces, size): Maker) -> Made {
    let mut made = match kind {
        0 => message(place, pieces),
        1 => reasoning(place, pieces),
        2 => call(place, &pieces, size),
        _ => custom_call(place, &pieces.concat(), size),
    };
    made.native["id"] = json!(format!("id{place}"));
    made
}

fn message(place: usize, mut pieces: Vec<String>) -> Made {
    pieces.insert(0, format!("<{place}>"));
    let text = pieces.concat();
    Made {
        native: json!({ "type": "message", "content": [{ "type": "output_text", "text": text }] }),
        deltas: deltas("response.output_text.delta", &pieces),
        content: Content::Text { text },
    }
}

fn reasoning(place: usize, mut pieces: Vec<String>) -> Made {
    pieces.insert(0, format!("<{place}>"));
    let text = pieces.concat();
    let summary = json!([{ "type": "summary_text", "text": text }]);
    Made {
        native: json!({ "type": "reasoning", "summary": summary, "encrypted_content": "e" }),
        deltas: deltas("response.reasoning_summary_text.delta", &pieces),
        content: Content::Reasoning { text },
    }
}

fn call(place: usize, said: &[String], size: usize) -> Made {
    let arguments = json!({ "place": place, "said": said }).to_string();
    Made {
        native: json!({ "type": "function_call", "call_id": format!("call{place}"), "name": "read", "arguments": arguments }),
        deltas: deltas(
            "response.function_call_arguments.delta",
            &cut(&arguments, size),
        ),
        content: called(place, "read", arguments),
    }
}

fn custom_call(place: usize, said: &str, size: usize) -> Made {
    let input = format!("<{place}>{said}");
    let arguments = json!({ "input": input }).to_string();
    Made {
        native: json!({ "type": "custom_tool_call", "call_id": format!("call{place}"), "name": "patch", "input": input }),
        deltas: deltas("response.custom_tool_call_input.delta", &cut(&input, size)),
        content: called(place, "patch", arguments),
    }
}

fn called(place: usize, name: &str, arguments: String) -> Content {
    Content::ToolCall(ToolCall {
        call_id: format!("call{place}"),
        name: name.into(),
        arguments,
    })
}

fn deltas(kind: &str, pieces: &[String]) -> Vec<Value> {
    let delta = |piece| json!({ "type": kind, "delta": piece });
    pieces.iter().map(delta).collect()
}

/// How a response is sent.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whether events say where their item is.
    with_places: bool,
    /// Whether the end gives the items other names.
    renames: bool,
    /// Whether the end holds the items at all.
    has_output: bool,
}

fn manner() -> impl Strategy<Value = Manner> {
    any::<(bool, bool, bool)>().prop_map(|(with_places, renames, has_output)| Manner {
        with_places,
        renames,
        has_output,
    })
}

/// The events of a response; those of the items in `lost` never say that it is done.
fn events(all: &[Made], lost: &[usize], manner: Manner) -> Vec<Value> {
    let mut events = Vec::new();
    for (place, made) in all.iter().enumerate() {
        let begin = json!({ "type": "response.output_item.added", "item": made.native });
        let done = json!({ "type": "response.output_item.done", "item": made.native });
        let mut its = [vec![begin], made.deltas.clone()].concat();
        if !lost.contains(&place) {
            its.push(done);
        }
        if manner.with_places {
            its.iter_mut()
                .for_each(|event| event["output_index"] = json!(place));
        }
        events.extend(its);
    }
    let output = all.iter().map(|made| {
        if manner.renames {
            renamed(&made.native)
        } else {
            made.native.clone()
        }
    });
    let mut response = json!({});
    if manner.has_output {
        response["output"] = output.collect();
    }
    events.push(json!({ "type": "response.completed", "response": response }));
    events
}

fn renamed(native: &Value) -> Value {
    let mut native = native.clone();
    for key in ["id", "call_id"] {
        if let Some(name) = native[key].as_str() {
            native[key] = json!(format!("another {name}"));
        }
    }
    native
}

/// Without the ids of calls, which the end may give anew.
fn unnamed(contents: Vec<Content>) -> Vec<Content> {
    let unnamed = contents.into_iter().map(|content| match content {
        Content::ToolCall(call) => Content::ToolCall(ToolCall {
            call_id: String::new(),
            ..call
        }),
        content => content,
    });
    unnamed.collect()
}

const KINDS: &[&str] = &[
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_part.added",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "error",
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "mcp_call",
];

const KEYS: &[&str] = &[
    "type",
    "output_index",
    "summary_index",
    "delta",
    "item",
    "response",
    "output",
    "usage",
    "incomplete_details",
    "error",
    "id",
    "call_id",
    "name",
    "arguments",
    "input",
    "content",
    "summary",
    "text",
    "refusal",
    "message",
    "code",
    "input_transformations",
];

proptest! {
    /// Each item comes once, whichever never was done, and whatever the end calls them.
    #[test]
    fn every_cutting_says_the_same_and_nothing_is_lost_or_doubled(
        makers in vec(maker(), 0..8),
        lost in vec(0_usize..8, 0..4),
        manner in manner(),
        piece in 1_usize..60,
    ) {
        let all: Vec<Made> = makers.into_iter().enumerate().map(|(n, maker)| make(n, maker)).collect();
        let lost = if manner.has_output { lost } else { vec![] };
        let bytes = frames(&events(&all, &lost, manner));
        let (deltas, finish) = in_every_cutting(play_responses, &bytes, piece);
        prop_assert!(finish.is_ok());
        let items = items(&deltas);
        prop_assert!(items.iter().all(|item| item.native.is_some()));
        let said: Vec<Content> = all.iter().map(|made| made.content.clone()).collect();
        prop_assert_eq!(unnamed(contents(items)), unnamed(said.clone()));
        let text = |content: &Content| match content {
            Content::Text { text } => text.clone(),
            _ => String::new(),
        };
        prop_assert_eq!(streamed(&deltas).0, said.iter().map(text).collect::<String>());
    }

    /// However the end merges, moves and leaves out what came, nothing of it comes twice.
    #[test]
    fn what_came_does_not_come_again(
        makers in vec(maker(), 1..8),
        order in vec(any::<u8>(), 8),
        left_out in vec(0_usize..8, 0..3),
        merges in any::<bool>(),
    ) {
        let all: Vec<Made> = makers.into_iter().enumerate().map(|(n, maker)| make(n, maker)).collect();
        let manner = Manner { with_places: false, renames: true, has_output: false };
        let mut events = events(&all, &[], manner);
        let mut end: Vec<(usize, Value)> = all.iter().map(|made| renamed(&made.native)).enumerate().collect();
        end.retain(|(place, _)| !left_out.contains(place));
        end.sort_by_key(|(place, _)| order[*place]);
        let mut output: Vec<Value> = end.into_iter().map(|(_, native)| native).collect();
        if merges {
            merge_texts(&all, &mut output);
        }
        *events.last_mut().unwrap() = json!({ "type": "response.completed", "response": { "output": output } });
        let (deltas, finish) = play_responses(&frames(&events), usize::MAX);
        prop_assert!(finish.is_ok());
        let said: Vec<Content> = all.into_iter().map(|made| made.content).collect();
        prop_assert_eq!(contents(items(&deltas)), said);
    }

    #[test]
    fn nonsense_is_an_error_and_no_end(bytes in nonsense(), piece in 1_usize..40) {
        for bytes in [as_event(&bytes), bytes] {
            let (_, finish) = in_every_cutting(play_responses, &bytes, piece);
            prop_assert!(finish.is_err());
        }
    }

    #[test]
    fn fields_that_hold_anything_are_survived(events in wild_events(KINDS, KEYS), piece in 1_usize..40) {
        let (deltas, finish) = in_every_cutting(play_responses, &frames(&events), piece);
        let ends = events.iter().any(|event| {
            event["type"] == "response.completed" || event["type"] == "response.incomplete"
        });
        prop_assert!(finish.is_err() || ends);
        prop_assert!(!deltas.iter().any(Delta::is_last));
    }
}

/// All text as one message, in front of everything else, as vLLM ends a response.
fn merge_texts(all: &[Made], output: &mut Vec<Value>) {
    let text = |made: &Made| match &made.content {
        Content::Text { text } => text.clone(),
        _ => String::new(),
    };
    let text: String = all.iter().map(text).collect();
    output.retain(|native| native["type"] != "message");
    if !text.is_empty() {
        let content = json!([{ "type": "output_text", "text": text.trim() }]);
        output.insert(
            0,
            json!({ "type": "message", "id": "merged", "content": content }),
        );
    }
}

//! What holds of every stream of Anthropic's.

use proptest::collection::vec;
use proptest::prelude::*;
use pullwright_protocol::provider::{Delta, ProviderError};
use pullwright_protocol::{Content, ToolCall};
use pullwright_providers::Finish;
use serde_json::{Value, json};

use crate::anthropic_reply::{frames, reply_events};
use crate::client::items;
use crate::properties::{as_event, contents, cut, in_every_cutting, nonsense, pieces, wild_events};
use crate::streams::streamed;

/// A block of a reply: how it starts, what is added, and what it is in the end.
#[derive(Clone, Debug)]
struct Block {
    start: Value,
    deltas: Vec<Value>,
    content: Content,
}

fn block() -> impl Strategy<Value = Block> {
    prop_oneof![
        pieces().prop_map(|pieces| Block {
            start: json!({ "type": "text", "text": "" }),
            deltas: deltas("text_delta", "text", &pieces),
            content: Content::Text {
                text: pieces.concat()
            },
        }),
        pieces().prop_map(|pieces| {
            let mut deltas = deltas("thinking_delta", "thinking", &pieces);
            deltas.push(json!({ "type": "signature_delta", "signature": "s" }));
            Block {
                start: json!({ "type": "thinking", "thinking": "", "signature": "" }),
                deltas,
                content: Content::Reasoning {
                    text: pieces.concat(),
                },
            }
        }),
        Just(Block {
            start: json!({ "type": "redacted_thinking", "data": "d" }),
            deltas: vec![],
            content: Content::Reasoning {
                text: String::new()
            },
        }),
        ("[a-c]{1,2}", pieces(), 1_usize..9).prop_map(|(name, said, size)| call(name, &said, size)),
    ]
}

fn call(name: String, said: &[String], size: usize) -> Block {
    let arguments = json!({ "said": said }).to_string();
    Block {
        start: json!({ "type": "tool_use", "id": "t1", "name": name, "input": {} }),
        deltas: deltas("input_json_delta", "partial_json", &cut(&arguments, size)),
        content: Content::ToolCall(ToolCall {
            call_id: "t1".into(),
            name,
            arguments,
        }),
    }
}

fn deltas(kind: &str, key: &str, pieces: &[String]) -> Vec<Value> {
    let delta = |piece| json!({ "type": kind, key: piece });
    pieces.iter().map(delta).collect()
}

/// One block after the other, or all of them `at_once`.
fn events(blocks: &[Block], at_once: bool) -> Vec<Value> {
    let (mut starts, mut added, mut stops) = (vec![], vec![], vec![]);
    for (index, block) in blocks.iter().enumerate() {
        starts.push(
            json!({ "type": "content_block_start", "index": index, "content_block": block.start }),
        );
        let delta =
            |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
        added.push(block.deltas.iter().map(delta).collect::<Vec<_>>());
        stops.push(json!({ "type": "content_block_stop", "index": index }));
    }
    if at_once {
        let longest = added.iter().map(Vec::len).max().unwrap_or_default();
        let rows =
            (0..longest).flat_map(|row| added.iter().filter_map(move |one| one.get(row).cloned()));
        return [starts, rows.collect(), stops].concat();
    }
    let in_a_row = starts.into_iter().zip(added).zip(stops);
    in_a_row
        .flat_map(|((start, added), stop)| [vec![start], added, vec![stop]].concat())
        .collect()
}

type Outcome = (Vec<Delta>, Option<Finish>, Option<ProviderError>);

fn play(bytes: &[u8], piece: usize) -> Outcome {
    let played = crate::anthropic_reply::play(bytes, piece);
    (played.deltas, played.finish, played.error)
}

const KINDS: &[&str] = &[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
    "text",
    "thinking",
    "tool_use",
    "compaction",
    "text_delta",
    "input_json_delta",
    "signature_delta",
    "citations_delta",
    "compaction_delta",
    "tool_use",
];

const KEYS: &[&str] = &[
    "type",
    "index",
    "message",
    "content_block",
    "delta",
    "usage",
    "error",
    "text",
    "thinking",
    "id",
    "name",
    "input",
    "partial_json",
    "signature",
    "citation",
    "content",
    "stop_reason",
    "stop_details",
    "input_tokens",
    "output_tokens",
    "input_transformations",
    "details",
];

proptest! {
    #[test]
    fn every_cutting_says_the_same_and_nothing_is_lost(
        blocks in vec(block(), 0..6),
        at_once in any::<bool>(),
        piece in 1_usize..60,
    ) {
        let bytes = frames(&reply_events(&events(&blocks, at_once), "end_turn"));
        let (deltas, finish, error) = in_every_cutting(play, &bytes, piece);
        prop_assert_eq!((finish.is_some(), error), (true, None));
        let items = items(&deltas);
        prop_assert!(items.iter().all(|item| item.native.is_some()));
        let said: Vec<Content> = blocks.into_iter().map(|block| block.content).collect();
        prop_assert_eq!(contents(items), said.clone());
        if !at_once {
            let text = |content: &Content| match content {
                Content::Text { text } => text.clone(),
                _ => String::new(),
            };
            prop_assert_eq!(streamed(&deltas).0, said.iter().map(text).collect::<String>());
        }
    }

    /// A stream that is cut off is no end, and what was complete before is kept.
    #[test]
    fn half_a_stream_is_no_end(blocks in vec(block(), 0..4), part in 0.0..1.0_f64, piece in 1_usize..60) {
        let bytes = frames(&reply_events(&events(&blocks, false), "end_turn"));
        let end = bytes.len() - "event: message_stop\n\n".len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short stream")]
        let cut = (end as f64 * part) as usize;
        let (deltas, finish, error) = in_every_cutting(play, &bytes[..cut], piece);
        prop_assert_eq!((finish, error), (None, None));
        let said: Vec<Content> = blocks.into_iter().map(|block| block.content).collect();
        prop_assert!(said.starts_with(&contents(items(&deltas))));
    }

    #[test]
    fn nonsense_is_an_error_and_no_end(bytes in nonsense(), piece in 1_usize..40) {
        let (_, finish, _) = in_every_cutting(play, &bytes, piece);
        prop_assert_eq!(finish, None);
        let event = as_event(&[b"{", &bytes[..]].concat());
        let (_, finish, error) = in_every_cutting(play, &event, piece);
        prop_assert_eq!((finish, error.is_some()), (None, true));
    }

    #[test]
    fn fields_that_hold_anything_are_survived(events in wild_events(KINDS, KEYS), piece in 1_usize..40) {
        let (deltas, finish, error) = in_every_cutting(play, &frames(&events), piece);
        prop_assert!(error.is_none() || !deltas.iter().any(Delta::is_last));
        let ends = events.iter().any(|event| event["type"] == "message_stop");
        prop_assert!(finish.is_none() || ends);
    }
}

//! What holds of every parser, whatever comes.

use std::fmt::Debug;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use pullwright_protocol::{Content, Item};
use serde_json::{Value, json};

/// What `play` makes of `bytes`, which no cutting changes.
pub(crate) fn in_every_cutting<T: Debug + PartialEq>(
    play: impl Fn(&[u8], usize) -> T,
    bytes: &[u8],
    piece: usize,
) -> T {
    let whole = play(bytes, usize::MAX);
    assert_eq!(play(bytes, piece), whole, "in pieces of {piece}");
    whole
}

/// All text and reasoning, joined.
pub(crate) fn words(items: &[Item]) -> String {
    let words = items.iter().filter_map(|item| match &item.content {
        Content::Text { text } | Content::Reasoning { text } => Some(text.as_str()),
        _ => None,
    });
    words.collect()
}

pub(crate) fn contents(items: Vec<Item>) -> Vec<Content> {
    items.into_iter().map(|item| item.content).collect()
}

/// Pieces of a text, with what JSON escapes and UTF-8 takes several bytes for.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<String>> {
    vec("[a-z \n\"\\\\{}ü🦀]{0,5}", 0..4)
}

/// The arguments of a call, in pieces of `size` characters.
pub(crate) fn cut(arguments: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = arguments.chars().collect();
    chars
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Bytes that are no stream.
pub(crate) fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

/// The bytes as the data of an event.
pub(crate) fn as_event(bytes: &[u8]) -> Vec<u8> {
    [b"data: ", bytes, b"\n\n"].concat()
}

/// Events of `kinds` whose fields, some of `keys`, hold anything.
pub(crate) fn wild_events(
    kinds: &'static [&'static str],
    keys: &'static [&'static str],
) -> impl Strategy<Value = Vec<Value>> {
    let event = (
        select(kinds),
        hash_map(select(keys), wild(kinds, keys), 0..5),
    );
    let event = event.prop_map(|(kind, fields)| {
        let mut event = json!(fields);
        event["type"] = json!(kind);
        event
    });
    vec(event, 0..12)
}

fn wild(
    kinds: &'static [&'static str],
    keys: &'static [&'static str],
) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
        select(kinds).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            hash_map(select(keys), inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

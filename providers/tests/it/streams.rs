//! Streams through a provider over HTTP, cut and disturbed in every way.

use std::sync::Arc;

use pullwright_protocol::Item;
use pullwright_protocol::provider::Delta;
use pullwright_providers::Provider;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::client::{deltas, in_process, request};
use crate::http_server::{Answer, Ending, Server};

/// The pieces that arrive one by one.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// `bytes` cut in every way that matters: not at all, everywhere, inside characters, in odd sizes.
pub(crate) fn cuttings(bytes: &[u8]) -> Vec<Pieces> {
    let sized = |size: usize| bytes.chunks(size).map(<[u8]>::to_vec).collect();
    vec![
        sized(bytes.len()),
        sized(1),
        sized(7),
        inside_characters(bytes),
    ]
}

fn inside_characters(bytes: &[u8]) -> Pieces {
    let is_continuation = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let mut pieces: Pieces = vec![Vec::new()];
    for byte in bytes {
        if is_continuation(byte) {
            pieces.push(Vec::new());
        }
        pieces.last_mut().unwrap().push(*byte);
    }
    pieces
}

/// What each stream becomes behind the provider that `open` makes for the server's URL.
pub(crate) async fn over_http(
    open: impl Fn(Url) -> Arc<dyn Provider>,
    streams: Vec<(Pieces, Ending)>,
) -> Vec<Vec<Delta>> {
    let count = streams.len();
    let answer = |(pieces, ending)| Answer {
        pieces,
        ending,
        ..Answer::stream(vec![])
    };
    let server = Server::start(streams.into_iter().map(answer).collect()).await;
    let peer = in_process(open(server.url.clone()));
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(deltas(&peer, &request(vec![Item::user("hi")])).await);
    }
    all
}

/// How many bytes hold all of the first event that `is_last` says is one: what comes after may be lost.
pub(crate) fn end_of(bytes: &[u8], is_last: impl Fn(&str, &Value) -> bool) -> usize {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let data = line.trim_end().strip_prefix("data:").unwrap_or_default();
        if is_last(data.trim(), &serde_json::from_str(data).unwrap_or_default()) {
            return begin + line.trim_end().len();
        }
        begin += line.len();
    }
    bytes.len()
}

/// The same stream with `noise` after every event, comments inside of them, and each kind of line end.
pub(crate) fn disturbed(bytes: &[u8], noise: &str) -> Vec<Pieces> {
    let text = String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace("\r\n", "\n");
    let noisy = text
        .replace("\n\n", &format!("\n\n{noise}"))
        .replace("\ndata:", "\n: inside\ndata:");
    let ends = ["\n", "\r\n", "\r"].map(|end| noisy.replace('\n', end));
    ends.iter()
        .map(|text| text.as_bytes().chunks(37).map(<[u8]>::to_vec).collect())
        .collect()
}

/// Long texts are given by length, hash and ends.
pub(crate) fn check_text(text: &str, expected: &Value, name: &str) {
    if let Some(whole) = expected["text"].as_str() {
        assert_eq!(text, whole, "{name}");
        return;
    }
    let chars = expected["chars"].as_u64().unwrap();
    assert_eq!(text.chars().count() as u64, chars, "{name}");
    assert_eq!(sha256_16(text), expected["sha256_16"], "{name}");
}

/// The first 16 digits of a text's hash.
pub(crate) fn sha256_16(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The streamed pieces of text and of reasoning, each joined.
pub(crate) fn streamed(deltas: &[Delta]) -> (String, String) {
    let (mut text, mut reasoning) = (String::new(), String::new());
    for delta in deltas {
        match delta {
            Delta::Text { delta } => text += delta,
            Delta::Reasoning { delta } => reasoning += delta,
            _ => {}
        }
    }
    (text, reasoning)
}

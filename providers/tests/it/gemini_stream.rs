//! Gemini streams by hand, and a provider to play them.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError};
use pullwright_protocol::{Item, Provenance};
use pullwright_providers::{
    Access, Finish, Gemini, GeminiConfig, GeminiReply, HttpClient, Provider, Secret, StreamLimits,
};
use serde_json::{Value, json};
use url::Url;

pub(crate) fn config(base_url: Url) -> GeminiConfig {
    GeminiConfig {
        name: "gemini".into(),
        base_url,
        access: Access::with_key(Secret::new("very-secret"), "TEST_KEY").unwrap(),
        model: "gemini-test".into(),
        max_output_tokens: 1000,
        context_tokens: Some(1_000_000),
        prices: None,
        effort: Some("high".into()),
        limits: StreamLimits::default(),
    }
}

pub(crate) fn gemini(config: GeminiConfig) -> Gemini {
    Gemini::new(config, HttpClient::new().unwrap())
}

pub(crate) fn open(base_url: Url) -> Arc<dyn Provider> {
    Arc::new(gemini(config(base_url)))
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        provider: "gemini".into(),
        wire: "gemini".into(),
        model: "gemini-test".into(),
        account: None,
    }
}

pub(crate) fn new_reply(items: Vec<Item>) -> GeminiReply {
    let items: Vec<Arc<Item>> = items.into_iter().map(Arc::new).collect();
    GeminiReply::new(provenance(), "TEST_KEY".into(), &items)
}

/// The events in the framing of the API.
pub(crate) fn frames(events: &[Value]) -> Vec<u8> {
    let frame = |event: &Value| format!("data: {event}\r\n\r\n");
    events.iter().map(frame).collect::<String>().into_bytes()
}

/// An event with `parts`, and an end if there is a reason for it.
pub(crate) fn event(parts: &Value, finish: Option<&str>) -> Value {
    let mut event = json!({
        "candidates": [{ "content": { "parts": parts, "role": "model" }, "index": 0 }],
        "usageMetadata": { "promptTokenCount": 30, "cachedContentTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3 },
        "responseId": "r1",
    });
    if let Some(reason) = finish {
        event["candidates"][0]["finishReason"] = json!(reason);
    }
    event
}

/// What a whole stream makes, without a connection.
pub(crate) fn play(bytes: &[u8], piece: usize) -> (Vec<Delta>, Result<Finish, ProviderError>) {
    let mut reply = new_reply(vec![]);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        if let Err(error) = reply.push(piece, &mut out) {
            return (out, Err(error));
        }
    }
    let finish = reply.end(&mut out);
    (out, finish)
}

//! Streams of both formats of OpenAI, and providers to play them.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError};
use pullwright_protocol::{Item, Provenance};
use pullwright_providers::{
    Access, ChatQuirks, ChatReply, Finish, HttpClient, OpenAiChat, OpenAiConfig, OpenAiResponses,
    Provider, ResponsesReply, Secret, StreamLimits,
};
use serde_json::{Value, json};
use url::Url;

pub(crate) fn config(base_url: Url) -> OpenAiConfig {
    OpenAiConfig {
        name: "openai".into(),
        base_url,
        access: Access::with_key(Secret::new("very-secret"), "TEST_KEY").unwrap(),
        model: "gpt-test".into(),
        max_output_tokens: Some(1000),
        context_tokens: Some(1_000_000),
        prices: None,
        compacts: true,
        effort: Some("high".into()),
        quirks: ChatQuirks::default(),
        limits: StreamLimits::default(),
    }
}

pub(crate) fn chat(config: OpenAiConfig) -> OpenAiChat {
    OpenAiChat::new(config, HttpClient::new().unwrap())
}

pub(crate) fn responses(config: OpenAiConfig) -> OpenAiResponses {
    OpenAiResponses::new(config, HttpClient::new().unwrap())
}

pub(crate) fn open_chat(base_url: Url) -> Arc<dyn Provider> {
    Arc::new(chat(config(base_url)))
}

pub(crate) fn open_responses(base_url: Url) -> Arc<dyn Provider> {
    Arc::new(responses(config(base_url)))
}

pub(crate) fn provenance(wire: &str) -> Provenance {
    Provenance {
        provider: "openai".into(),
        wire: wire.into(),
        model: "gpt-test".into(),
        account: None,
    }
}

pub(crate) fn new_chat_reply(items: Vec<Item>) -> ChatReply {
    let items: Vec<Arc<Item>> = items.into_iter().map(Arc::new).collect();
    let provenance = provenance("openai_chat");
    ChatReply::new(provenance, "TEST_KEY".into(), Some(1_000_000), &items)
}

pub(crate) fn new_responses_reply() -> ResponsesReply {
    ResponsesReply::new(provenance("openai_responses"), "TEST_KEY".into())
}

/// The events in the framing of the API.
pub(crate) fn frames(events: &[Value]) -> Vec<u8> {
    let frame = |event: &Value| format!("data: {event}\n\n");
    events.iter().map(frame).collect::<String>().into_bytes()
}

/// The same, and the end that Chat Completions have.
pub(crate) fn done(events: &[Value]) -> Vec<u8> {
    [&frames(events)[..], b"data: [DONE]\n\n"].concat()
}

/// A chunk of a chat with `delta`, and a reason to end if there is one.
pub(crate) fn chunk(delta: &Value, finish: Option<&str>) -> Value {
    json!({
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "gpt-test",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

/// What a chat makes, without a connection.
pub(crate) fn play_chat(bytes: &[u8], piece: usize) -> (Vec<Delta>, Result<Finish, ProviderError>) {
    let mut reply = new_chat_reply(vec![]);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        if let Err(error) = reply.push(piece, &mut out) {
            return (out, Err(error));
        }
    }
    let finish = reply.end(&mut out);
    (out, finish)
}

/// What a response makes, without a connection.
pub(crate) fn play_responses(
    bytes: &[u8],
    piece: usize,
) -> (Vec<Delta>, Result<Finish, ProviderError>) {
    let mut reply = new_responses_reply();
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        if let Err(error) = reply.push(piece, &mut out) {
            return (out, Err(error));
        }
    }
    let finish = reply.end(&mut out);
    (out, finish)
}

//! Ollama streams by hand, and a provider to play them.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError};
use pullwright_protocol::{Item, Provenance};
use pullwright_providers::{
    Access, Finish, HttpClient, Ollama, OllamaConfig, OllamaReply, Provider, StreamLimits,
};
use serde_json::{Value, json};
use url::Url;

/// The context of the model here.
pub(crate) const CONTEXT: u64 = 9000;

pub(crate) fn config(base_url: Url) -> OllamaConfig {
    OllamaConfig {
        name: "ollama".into(),
        base_url,
        access: Access::default(),
        model: "qwen-test".into(),
        max_output_tokens: 1000,
        context_tokens: CONTEXT,
        prices: None,
        effort: None,
        limits: StreamLimits::default(),
    }
}

pub(crate) fn ollama(config: OllamaConfig) -> Ollama {
    Ollama::new(config, HttpClient::new().unwrap())
}

pub(crate) fn open(base_url: Url) -> Arc<dyn Provider> {
    Arc::new(ollama(config(base_url)))
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        provider: "ollama".into(),
        wire: "ollama".into(),
        model: "qwen-test".into(),
        account: None,
    }
}

pub(crate) fn new_reply(items: Vec<Item>) -> OllamaReply {
    let items: Vec<Arc<Item>> = items.into_iter().map(Arc::new).collect();
    OllamaReply::new(provenance(), CONTEXT, &items)
}

pub(crate) fn lines(lines: &[Value]) -> Vec<u8> {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into_bytes()
}

/// A line with a piece of a message.
pub(crate) fn said(message: &Value) -> Value {
    json!({ "model": "qwen-test", "message": message, "done": false })
}

/// The last line.
pub(crate) fn done(reason: &str) -> Value {
    let message = json!({ "role": "assistant", "content": "" });
    json!({ "message": message, "done": true, "done_reason": reason, "prompt_eval_count": 30, "eval_count": 7 })
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

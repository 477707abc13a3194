//! A model that speaks every wire format, at an even pace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::post;
use futures_util::{StreamExt, stream};
use pullwright_providers::{Provider, ProviderSettings, open};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

/// The pieces of a stream, one a millisecond.
pub(crate) const PIECE: Duration = Duration::from_millis(1);

const WORD: &str = "word ";

/// A wire format.
pub(crate) struct Wire {
    pub(crate) name: &'static str,
    /// The events before the text, one with a word, and those after so many words.
    begin: fn() -> Vec<Value>,
    word: fn() -> Value,
    end: fn(usize) -> Vec<Value>,
    /// Whether events are lines instead of frames.
    is_lines: bool,
}

pub(crate) const ALL: &[Wire] = &[
    Wire {
        name: "anthropic_messages",
        begin: || {
            let usage = json!({"input_tokens": 10, "output_tokens": 1});
            let message = json!({"id": "msg", "type": "message", "role": "assistant", "content": [],
                "model": "bench", "stop_reason": null, "stop_sequence": null, "usage": usage});
            let block = json!({"type": "text", "text": ""});
            vec![
                json!({"type": "message_start", "message": message}),
                json!({"type": "content_block_start", "index": 0, "content_block": block}),
            ]
        },
        word: || {
            let delta = json!({"type": "text_delta", "text": WORD});
            json!({"type": "content_block_delta", "index": 0, "delta": delta})
        },
        end: |_| {
            vec![
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "usage": {"output_tokens": 10},
                    "delta": {"stop_reason": "end_turn", "stop_sequence": null}}),
                json!({"type": "message_stop"}),
            ]
        },
        is_lines: false,
    },
    Wire {
        name: "openai_chat",
        begin: Vec::new,
        word: || chat_chunk(&json!({"content": WORD}), &Value::Null),
        end: |_| vec![chat_chunk(&json!({}), &json!("stop"))],
        is_lines: false,
    },
    Wire {
        name: "openai_responses",
        begin: || {
            let item = json!({"id": "msg", "type": "message", "role": "assistant", "content": []});
            vec![
                json!({"type": "response.created", "response": {"id": "resp", "output": []}}),
                json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
            ]
        },
        word: || {
            json!({"type": "response.output_text.delta", "item_id": "msg", "output_index": 0,
                "content_index": 0, "delta": WORD})
        },
        end: |words| {
            let part =
                json!({"type": "output_text", "text": WORD.repeat(words), "annotations": []});
            let item =
                json!({"id": "msg", "type": "message", "role": "assistant", "content": [part]});
            let usage = json!({"input_tokens": 10, "output_tokens": 10});
            let response = json!({"id": "resp", "output": [item], "usage": usage});
            vec![
                json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
                json!({"type": "response.completed", "response": response}),
            ]
        },
        is_lines: false,
    },
    Wire {
        name: "gemini",
        begin: Vec::new,
        word: || gemini_chunk(WORD, &Value::Null),
        end: |_| vec![gemini_chunk("", &json!("STOP"))],
        is_lines: false,
    },
    Wire {
        name: "ollama",
        begin: Vec::new,
        word: || json!({"model": "bench", "message": {"role": "assistant", "content": WORD}, "done": false}),
        end: |_| {
            let message = json!({"role": "assistant", "content": ""});
            vec![
                json!({"model": "bench", "message": message, "done": true, "done_reason": "stop",
                "prompt_eval_count": 10, "eval_count": 10}),
            ]
        },
        is_lines: true,
    },
];

fn chat_chunk(delta: &Value, finish: &Value) -> Value {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    json!({"id": "c", "object": "chat.completion.chunk", "model": "bench", "choices": [choice]})
}

fn gemini_chunk(text: &str, finish: &Value) -> Value {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    json!({"candidates": [{"content": content, "index": 0, "finishReason": finish}]})
}

impl Wire {
    /// A provider of this format at `base_url`.
    pub(crate) fn open(&self, base_url: &str) -> Arc<dyn Provider> {
        let settings = ProviderSettings {
            name: "bench".to_owned(),
            wire_api: self.name.to_owned(),
            base_url: Some(Url::parse(base_url).unwrap()),
            env_key: Some("NONE".to_owned()),
            model: Some("bench".to_owned()),
            ..ProviderSettings::default()
        };
        open(settings, |_| Some("none".to_owned())).unwrap()
    }

    fn reply(&'static self, words: usize) -> Response {
        let mut pace = interval(PIECE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let paced = stream::iter(0..words).zip(stream::unfold(pace, |mut pace| async {
            pace.tick().await;
            Some(((), pace))
        }));
        let begin = stream::iter((self.begin)().into_iter().map(|event| self.frame(&event)));
        let text = paced.map(|_| self.frame(&(self.word)()));
        let end = (self.end)(words)
            .into_iter()
            .map(|event| self.frame(&event));
        let frames = begin.chain(text).chain(stream::iter(end));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(
                frames.map(Ok::<_, std::convert::Infallible>),
            ))
            .unwrap()
    }

    fn frame(&self, event: &Value) -> String {
        match event["type"].as_str() {
            _ if self.is_lines => format!("{event}\n"),
            Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
            None => format!("data: {event}\n\n"),
        }
    }
}

/// The model, in a thread of its own, that answers every request with so many words.
pub(crate) fn serve(words: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let answer = move |Path((name, _)): Path<(String, String)>| async move {
                let wire = ALL.iter().find(|wire| wire.name == name).unwrap();
                wire.reply(words)
            };
            let router = Router::new().route("/{wire}/{*path}", post(answer));
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

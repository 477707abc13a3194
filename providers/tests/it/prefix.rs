//! Every wire format writes each request so that it starts with the one before: that is what caches
//! look for.

use std::sync::Arc;

use proptest::prelude::*;
use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{Content, Item, Native, Part, Provenance, RawJson, ToolCall};
use pullwright_providers::{
    AnthropicMessages, Gemini, HttpClient, Ollama, OpenAiChat, OpenAiResponses, Provider,
};
use serde_json::{Value, json};
use url::Url;

use crate::client::request;
use crate::{anthropic_http, gemini_stream, ollama_stream, openai_stream};

/// What moves on with the conversation.
const MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;

type Write = Box<dyn Fn(&StreamRequest) -> Result<Vec<u8>, ProviderError>>;

/// A wire format, and how one of its providers writes requests.
struct Wire {
    provenance: Provenance,
    write: Write,
}

/// A provider of each wire format.
fn wires() -> Vec<Wire> {
    let url = || Url::parse("http://127.0.0.1").unwrap();
    macro_rules! wire {
        ($provider:ident, $config:expr) => {{
            let provider = $provider::new($config, HttpClient::shared().unwrap());
            Wire {
                provenance: provider.info().provenance,
                write: Box::new(move |request| provider.request_body(request)),
            }
        }};
    }
    vec![
        wire!(AnthropicMessages, anthropic_http::config(url())),
        wire!(Gemini, gemini_stream::config(url())),
        wire!(Ollama, ollama_stream::config(url())),
        wire!(OpenAiChat, openai_stream::config(url())),
        wire!(OpenAiResponses, openai_stream::config(url())),
    ]
}

/// A call as each wire format has it.
fn native_call(wire: &str, id: &str) -> Value {
    match wire {
        "anthropic_messages" => {
            json!({ "type": "tool_use", "id": id, "name": "read", "input": {} })
        }
        "gemini" => json!({ "functionCall": { "id": id, "name": "read", "args": {} } }),
        "ollama" => json!({ "id": id, "function": { "name": "read", "arguments": {} } }),
        "openai_chat" => {
            json!({ "id": id, "type": "function", "function": { "name": "read", "arguments": "{}" } })
        }
        _ => json!({ "type": "function_call", "call_id": id, "name": "read", "arguments": "{}" }),
    }
}

fn native_reasoning(wire: &str) -> Value {
    match wire {
        "anthropic_messages" => json!({ "type": "thinking", "thinking": "why", "signature": "s" }),
        "gemini" => json!({ "text": "why", "thought": true }),
        "ollama" => json!({ "thinking": "why" }),
        "openai_chat" => json!({ "reasoning_content": "why" }),
        _ => json!({ "type": "reasoning", "id": "r", "summary": [], "encrypted_content": "e" }),
    }
}

/// One turn: what the model says, with as many calls as asked for, and what comes back.
fn turn(provenance: &Provenance, number: usize, kind: u8) -> Vec<Item> {
    let wire = provenance.wire.as_str();
    let item = |content, json: &Value| Item {
        content,
        native: (kind & 1 == 0).then(|| Native {
            provenance: provenance.clone(),
            json: RawJson::from(json),
        }),
    };
    let mut items = Vec::new();
    if kind & 2 != 0 {
        let content = Content::Reasoning { text: "why".into() };
        items.push(item(content, &native_reasoning(wire)));
    }
    if kind & 4 != 0 {
        items.push(Item::neutral(Content::Text { text: "so".into() }));
    }
    let ids: Vec<String> = (0..kind >> 4)
        .map(|call| format!("call_{number}_{call}"))
        .collect();
    for id in &ids {
        let call = ToolCall {
            call_id: id.clone(),
            name: "read".into(),
            arguments: "{}".into(),
        };
        items.push(item(Content::ToolCall(call), &native_call(wire, id)));
    }
    for id in ids {
        let text = Part::Text {
            text: "done".into(),
        };
        let image = Part::Image {
            media_type: "image/png".into(),
            data: "aGk=".into(),
        };
        items.push(Item::neutral(Content::ToolResult {
            call_id: id,
            parts: if kind & 8 == 0 {
                vec![text]
            } else {
                vec![text, image]
            },
            is_error: kind & 4 == 0,
        }));
    }
    if kind >> 4 == 0 {
        // A model that calls nothing is told to go on, so it must have said something.
        items.push(Item::neutral(Content::Text {
            text: "well".into(),
        }));
        items.push(Item::user("go on"));
    }
    items
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap().replace(MARK, "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The bytes of request n, but for the brackets that close it, are the beginning of request n+1;
    /// and what was remembered is what would be written anew.
    #[test]
    fn each_request_starts_with_the_one_before(kinds in proptest::collection::vec(0_u8..64, 1..10)) {
        for (index, wire) in wires().iter().enumerate() {
            let mut asked = request(vec![Item::user("start")]);
            let mut before = text((wire.write)(&asked).unwrap());
            for (number, kind) in kinds.iter().enumerate() {
                let items = turn(&wire.provenance, number, *kind);
                asked.items.extend(items.into_iter().map(Arc::new));
                let now = text((wire.write)(&asked).unwrap());
                let anew = text((wires()[index].write)(&asked).unwrap());
                prop_assert_eq!(&now, &anew, "{}", &wire.provenance.wire);
                let beginning = before.strip_suffix("]}").unwrap();
                prop_assert!(
                    now.starts_with(beginning),
                    "{}:\n{}\n{}", &wire.provenance.wire, before, now
                );
                before = now;
            }
        }
    }
}

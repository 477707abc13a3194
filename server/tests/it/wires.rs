//! Every wire format against a real mock of all of them, with its faults.

use std::sync::Arc;

use pullwright_core::conversation::Conversation;
use pullwright_core::provider::Provider;
use pullwright_link::InProcessPeer;
use pullwright_protocol::provider::{Delta, ProviderError, StopReason};
use pullwright_protocol::{Content, FailureKind, Item, RawJson, ToolSpec};
use pullwright_providers::{ProviderSettings, open, rpc_module};
use serde_json::{Value, json};
use url::Url;

use crate::peers::aimock::{Aimock, KEY};
use crate::peers::process::Peers;

/// Each wire format and the path of its API.
const WIRES: [(&str, &str); 5] = [
    ("anthropic_messages", ""),
    ("openai_chat", "/v1"),
    ("openai_responses", "/v1"),
    ("gemini", "/v1beta"),
    ("ollama", ""),
];

const WORDS: &str = "One two three, four five six; seven eight nine. Grüße aus Köln 🦀.";

fn fixtures() -> Value {
    let says = |said: &str, response: Value| json!({ "match": { "userMessage": said }, "response": response });
    let faulty = |said: &str, key: &str, value: Value| {
        let mut fixture = says(said, json!({ "content": WORDS }));
        fixture[key] = value;
        fixture
    };
    let chaos = |key: &str| json!({ key: 1.0 });
    let mut cut = faulty("cut", "truncateAfterChunks", json!(3));
    cut["latency"] = json!(30);
    let call = json!({ "name": "read", "arguments": r#"{"path":"a \"quoted\" ü.txt"}"# });
    let calls = json!({ "toolCalls": [call, { "name": "read", "arguments": r#"{"path":"b"}"# }] });
    json!({ "fixtures": [
        { "match": { "hasToolResult": true }, "response": { "content": WORDS } },
        says("words", json!({ "content": WORDS })),
        says("reason", json!({ "content": WORDS, "reasoning": "I think, so I am." })),
        says("call", calls),
        says("limit", json!({ "error": { "message": "slow down", "type": "rate_limit_error" }, "status": 429 })),
        says("overload", json!({ "error": { "message": "busy", "type": "overloaded_error" }, "status": 503 })),
        says("broken", json!({ "error": { "message": "no such thing", "type": "invalid_request_error" }, "status": 400 })),
        cut,
        faulty("disconnect", "chaos", chaos("disconnectRate")),
        faulty("malformed", "chaos", chaos("malformedRate")),
        faulty("hurry", "chaos", chaos("rateLimitRate")),
    ] })
}

async fn connect(wire: &str, base: &str) -> Provider {
    let settings = ProviderSettings {
        name: wire.to_owned(),
        wire_api: wire.to_owned(),
        base_url: Some(Url::parse(base).unwrap()),
        env_key: Some("THE_KEY".to_owned()),
        model: Some("a-model".to_owned()),
        ..ProviderSettings::default()
    };
    let opened = open(settings, |_| Some(KEY.to_owned())).unwrap();
    let peer = InProcessPeer::new(wire, rpc_module(opened));
    Provider::connect(Arc::new(peer)).await.unwrap()
}

fn conversation(said: &str) -> Conversation {
    let tool = ToolSpec {
        name: "read".to_owned(),
        description: "Reads a file.".to_owned(),
        input_schema: RawJson::from(&json!({
            "type": "object",
            "properties": { "path": { "type": "string" } },
        })),
    };
    let mut conversation = Conversation::new("You are a test.".to_owned(), vec![tool]);
    conversation.push(&Item::user(said));
    conversation
}

/// The whole reply.
#[derive(Default)]
struct Said {
    text: String,
    reasoning: String,
    items: Vec<Item>,
    end: Option<Result<StopReason, ProviderError>>,
}

async fn ask(provider: &Provider, conversation: &mut Conversation) -> Said {
    let mut said = Said::default();
    let mut reply = provider.stream(conversation.request(1000)).await.unwrap();
    while let Some(delta) = reply.next().await {
        match delta {
            Delta::Text { delta } => said.text += &delta,
            Delta::Reasoning { delta } => said.reasoning += &delta,
            Delta::Item { item } => said.items.push(item),
            Delta::End { stop, .. } => said.end = Some(Ok(stop)),
            Delta::Error { error } => said.end = Some(Err(error)),
            _ => {}
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wire_format_talks_and_calls() {
    let Some(peers) = Peers::find("all wire formats against a mock of them") else {
        return;
    };
    let model = Aimock::start(&peers, &fixtures()).await;
    for (wire, path) in WIRES {
        let provider = connect(wire, &format!("{}{path}", model.url())).await;
        let said = ask(&provider, &mut conversation("words")).await;
        assert_eq!(said.text, WORDS, "{wire}");
        assert_eq!(said.end.unwrap().unwrap(), StopReason::EndTurn, "{wire}");

        let said = ask(&provider, &mut conversation("reason")).await;
        assert_eq!(said.text, WORDS, "{wire}");
        // The mock sends Ollama's reasoning under a key that Ollama does not have.
        if wire != "ollama" {
            assert_eq!(said.reasoning, "I think, so I am.", "{wire}");
        }

        let mut conversation = conversation("call");
        let said = ask(&provider, &mut conversation).await;
        assert_eq!(said.end.unwrap().unwrap(), StopReason::ToolUse, "{wire}");
        let mut calls = Vec::new();
        for item in &said.items {
            conversation.push(item);
            if let Content::ToolCall(call) = &item.content {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                calls.push((call.call_id.clone(), call.name.clone(), arguments));
            }
        }
        let arguments: Vec<&Value> = calls.iter().map(|(_, _, arguments)| arguments).collect();
        let expected = [
            json!({ "path": "a \"quoted\" ü.txt" }),
            json!({ "path": "b" }),
        ];
        assert_eq!(arguments, expected.iter().collect::<Vec<_>>(), "{wire}");
        for (id, name, _) in calls {
            assert_eq!(name, "read", "{wire}");
            conversation.push(&Item::tool_result(id, "a line", false));
        }
        let said = ask(&provider, &mut conversation).await;
        assert_eq!(said.text, WORDS, "{wire}");
    }
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_kind_on_every_wire_format() {
    use FailureKind as K;
    let Some(peers) = Peers::find("all wire formats against a mock's faults") else {
        return;
    };
    let model = Aimock::start(&peers, &fixtures()).await;
    let faults = [
        ("limit", K::RateLimited, true),
        ("hurry", K::RateLimited, true),
        ("overload", K::Overloaded, true),
        ("broken", K::ProviderRequest, false),
        ("cut", K::Transport, true),
        ("disconnect", K::Transport, true),
        ("malformed", K::Transport, true),
    ];
    for (wire, path) in WIRES {
        let provider = connect(wire, &format!("{}{path}", model.url())).await;
        for (fault, kind, retryable) in faults {
            let said = ask(&provider, &mut conversation(fault)).await;
            let Some(Err(error)) = said.end else {
                panic!("{wire}, {fault}: ended with {:?}", said.end);
            };
            assert_eq!(
                (error.kind, error.retryable),
                (kind, retryable),
                "{wire}, {fault}: {}",
                error.message
            );
            assert!(!error.message.contains(KEY), "{}", error.message);
            assert!(said.items.is_empty(), "{wire}, {fault}: {:?}", said.items);
            if kind == K::RateLimited {
                assert_eq!(error.retry_after_ms, Some(1000), "{wire}, {fault}");
            }
        }
    }
    model.stop().await;
}

//! Writing requests: with what was written before at hand, only what is new should count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, ToolCall};
use pullwright_providers::{
    Access, AnthropicConfig, AnthropicMessages, ChatQuirks, Gemini, GeminiConfig, HttpClient,
    Ollama, OllamaConfig, OpenAiChat, OpenAiConfig, OpenAiResponses, Secret, StreamLimits,
    Thinking,
};
use serde_json::json;
use url::Url;

use crate::Effort;
use crate::sample::print_value;

type Write = Box<dyn Fn(&StreamRequest) -> Vec<u8>>;

pub(crate) fn measure(effort: Effort) {
    let turns = effort.turns * 5;
    for (wire, write) in wires() {
        let times = write_requests(&write, turns);
        let mean = |times: &[Duration]| {
            let sum: Duration = times.iter().sum();
            sum.as_secs_f64() * 1e6 / times.len() as f64
        };
        let tenth = (turns / 10).max(1);
        let (early, late) = (mean(&times[..tenth]), mean(&times[turns - tenth..]));
        print_value(
            &format!("{wire}: µs to write a request, first and last tenth of {turns}"),
            format!("{early:.0}, {late:.0}"),
        );
    }
}

fn write_requests(write: &Write, turns: usize) -> Vec<Duration> {
    let mut request = StreamRequest {
        system: "You are a benchmark.".to_owned(),
        tools: Vec::new(),
        items: vec![Arc::new(Item::user("start"))],
        max_output_tokens: None,
        compact: false,
    };
    let turn = |turn| {
        let begin = Instant::now();
        let body = write(&request);
        let time = begin.elapsed();
        assert!(body.ends_with(b"]}"));
        request.items.extend(exchange(turn).map(Arc::new));
        time
    };
    (0..turns).map(turn).collect()
}

/// A call and a page of result.
fn exchange(turn: usize) -> [Item; 2] {
    let call_id = format!("call_{turn}");
    let result = Item::tool_result(call_id.clone(), "a line of a file\n".repeat(100), false);
    let call = ToolCall {
        call_id,
        name: "read".to_owned(),
        arguments: json!({"path": "src/main.rs"}).to_string(),
    };
    [Item::neutral(Content::ToolCall(call)), result]
}

/// A writer for every wire format.
fn wires() -> Vec<(&'static str, Write)> {
    macro_rules! write {
        ($provider:ident, $config:expr) => {{
            let provider = $provider::new($config, HttpClient::shared().unwrap());
            Box::new(move |request: &StreamRequest| provider.request_body(request).unwrap())
        }};
    }
    vec![
        ("anthropic_messages", write!(AnthropicMessages, anthropic())),
        ("openai_chat", write!(OpenAiChat, openai())),
        ("openai_responses", write!(OpenAiResponses, openai())),
        ("gemini", write!(Gemini, gemini())),
        ("ollama", write!(Ollama, ollama())),
    ]
}

fn base_url() -> Url {
    Url::parse("http://127.0.0.1").unwrap()
}

fn access() -> Access {
    Access::with_key(Secret::new("none"), "NONE").unwrap()
}

fn anthropic() -> AnthropicConfig {
    AnthropicConfig {
        name: "bench".to_owned(),
        base_url: base_url(),
        access: access(),
        model: "bench".to_owned(),
        max_output_tokens: 1000,
        context_tokens: None,
        prices: None,
        compacts: false,
        thinking: Thinking::Unspecified,
        effort: None,
        limits: StreamLimits::default(),
    }
}

fn openai() -> OpenAiConfig {
    OpenAiConfig {
        name: "bench".to_owned(),
        base_url: base_url(),
        access: access(),
        model: "bench".to_owned(),
        max_output_tokens: None,
        context_tokens: None,
        prices: None,
        compacts: false,
        effort: None,
        quirks: ChatQuirks::default(),
        limits: StreamLimits::default(),
    }
}

fn gemini() -> GeminiConfig {
    GeminiConfig {
        name: "bench".to_owned(),
        base_url: base_url(),
        access: access(),
        model: "bench".to_owned(),
        max_output_tokens: 1000,
        context_tokens: None,
        prices: None,
        effort: None,
        limits: StreamLimits::default(),
    }
}

fn ollama() -> OllamaConfig {
    OllamaConfig {
        name: "bench".to_owned(),
        base_url: base_url(),
        access: access(),
        model: "bench".to_owned(),
        max_output_tokens: 1000,
        context_tokens: 100_000,
        prices: None,
        effort: None,
        limits: StreamLimits::default(),
    }
}

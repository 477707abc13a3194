//! The body of a request.
//!
//! Settings and tools come first and the conversation last, so that the body of each request starts
//! with the bytes of the one before, which is what the server's cache looks for.

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{FailureKind, Provenance, ToolSpec};
use serde::Serialize;
use serde_json::value::RawValue;

use super::OllamaConfig;
use super::message::{Message, messages};

pub(super) fn body(
    config: &OllamaConfig,
    provenance: &Provenance,
    request: &StreamRequest,
) -> Result<Vec<u8>, ProviderError> {
    if request.items.is_empty() {
        return Err(invalid("the conversation is empty".to_owned()));
    }
    let asked = request.max_output_tokens.unwrap_or(u64::MAX);
    let body = Body {
        model: &config.model,
        stream: true,
        truncate: false,
        shift: false,
        think: config.effort.as_deref().map(Think::of),
        options: Options {
            num_ctx: config.context_tokens,
            num_predict: asked.min(config.max_output_tokens),
        },
        tools: request.tools.iter().map(Tool::of).collect(),
        messages: messages(&request.system, &request.items, provenance),
    };
    serde_json::to_vec(&body).map_err(|error| invalid(format!("the request is no JSON: {error}")))
}

/// `truncate` and `shift` say that what does not fit is an error: by default the server drops the
/// beginning of the conversation without a word. Servers that do not know them ignore them.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    truncate: bool,
    shift: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think<'a>>,
    options: Options,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Options {
    num_ctx: u64,
    num_predict: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Think<'a> {
    Whether(bool),
    Level(&'a str),
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
}

impl<'a> Think<'a> {
    fn of(effort: &'a str) -> Self {
        effort.parse().map_or(Self::Level(effort), Self::Whether)
    }
}

impl<'a> Tool<'a> {
    fn of(spec: &'a ToolSpec) -> Self {
        Self {
            kind: "function",
            function: Function {
                name: &spec.name,
                description: &spec.description,
                parameters: spec.input_schema.as_raw(),
            },
        }
    }
}

fn invalid(message: String) -> ProviderError {
    ProviderError {
        kind: FailureKind::ProviderRequest,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

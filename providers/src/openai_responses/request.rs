//! The body of a request.
//!
//! Settings, tools and system prompt come first and the conversation last, so that the body of each
//! request starts with the bytes of the one before, which is what the API's cache looks for.

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::tool::FREEFORM_SCHEMA_KEY;
use pullwright_protocol::{Provenance, ToolSpec};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::input::input;
use super::output::FREEFORM_KEY;
use crate::openai::{OpenAiConfig, prompt_cache_key};
use crate::written::{Place, Written};

/// Models that refuse to be asked about reasoning.
const WITHOUT_REASONING: [&str; 3] = ["gpt-3", "gpt-4", "chatgpt"];

pub(super) fn body(
    config: &OpenAiConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    written: &Written,
) -> Result<Vec<u8>, ProviderError> {
    let place = Place::<()> {
        key: "input",
        opening: None,
    };
    let items = &request.items;
    let input = |from| input(items, from, provenance);
    if request.compact {
        let head = CompactionHead::of(config, request);
        return written.body(&head, &place, items, input);
    }
    written.body(&Head::of(config, request), &place, items, input)
}

/// Everything but the conversation that is to be compacted. The API refuses what shapes a reply.
#[derive(Serialize)]
struct CompactionHead<'a> {
    model: &'a str,
    prompt_cache_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
}

impl<'a> CompactionHead<'a> {
    fn of(config: &'a OpenAiConfig, request: &'a StreamRequest) -> Self {
        Self {
            model: &config.model,
            prompt_cache_key: prompt_cache_key(request),
            instructions: instructions(request),
        }
    }
}

/// Everything but the conversation.
#[derive(Serialize)]
struct Head<'a> {
    model: &'a str,
    stream: bool,
    store: bool,
    prompt_cache_key: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    summary: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'a str,
        description: &'a str,
        parameters: &'a RawValue,
        /// The API would otherwise rewrite the schema.
        strict: bool,
    },
    /// Takes a text as it is, without JSON around it.
    Custom { name: &'a str, description: &'a str },
}

impl<'a> Head<'a> {
    fn of(config: &'a OpenAiConfig, request: &'a StreamRequest) -> Self {
        let reasons = reasons(&config.model);
        let reasoning = Reasoning {
            effort: config.effort.as_deref(),
            summary: "auto",
        };
        Self {
            model: &config.model,
            stream: true,
            store: false,
            prompt_cache_key: prompt_cache_key(request),
            include: if reasons {
                &["reasoning.encrypted_content"]
            } else {
                &[]
            },
            reasoning: reasons.then_some(reasoning),
            max_output_tokens: config.reply_limit(request.max_output_tokens),
            tools: request.tools.iter().map(Tool::of).collect(),
            instructions: instructions(request),
        }
    }
}

fn instructions(request: &StreamRequest) -> Option<&str> {
    Some(request.system.as_str()).filter(|text| !text.trim().is_empty())
}

/// An unknown name counts as a newer model.
fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    !WITHOUT_REASONING.iter().any(|old| name.starts_with(old))
}

impl<'a> Tool<'a> {
    fn of(spec: &'a ToolSpec) -> Self {
        if takes_text(spec.input_schema.as_raw()) {
            return Self::Custom {
                name: &spec.name,
                description: &spec.description,
            };
        }
        Self::Function {
            name: &spec.name,
            description: &spec.description,
            parameters: spec.input_schema.as_raw(),
            strict: false,
        }
    }
}

/// Whether a tool says that its only argument, `input`, is a text of its own format.
fn takes_text(schema: &RawValue) -> bool {
    let schema: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(schema.get());
    schema.is_ok_and(|schema| schema.get(FREEFORM_SCHEMA_KEY) == Some(&Value::from(FREEFORM_KEY)))
}

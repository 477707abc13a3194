//! The body of a request.
//!
//! Settings, tools and system prompt come first and the conversation last, so that the body of each
//! request starts with the bytes of the one before, which is what the API's cache looks for.

use pullwright_protocol::provider::{ProviderError, StreamRequest};
use pullwright_protocol::{Provenance, ToolSpec};
use serde::Serialize;
use serde_json::value::RawValue;

use super::GeminiConfig;
use super::contents::contents;
use crate::written::{Place, Written};

/// Models that refuse to be asked for thoughts.
const WITHOUT_THINKING: [&str; 4] = ["gemini-1", "gemini-2.0", "gemma", "learnlm"];

pub(super) fn body(
    config: &GeminiConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    written: &Written,
) -> Result<Vec<u8>, ProviderError> {
    let place = Place::<()> {
        key: "contents",
        opening: None,
    };
    let items = &request.items;
    written.body(&head(config, request), &place, items, |from| {
        contents(items, from, provenance)
    })
}

fn head<'a>(config: &'a GeminiConfig, request: &'a StreamRequest) -> Head<'a> {
    let asked = request.max_output_tokens.unwrap_or(u64::MAX);
    Head {
        generation_config: GenerationConfig {
            max_output_tokens: asked.min(config.max_output_tokens),
            thinking_config: ThinkingConfig::of(config),
        },
        tools: tools(&request.tools),
        system_instruction: system(&request.system),
    }
}

/// Everything but the contents.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<SystemInstruction<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    max_output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig<'a> {
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionDeclaration<'a> {
    name: &'a str,
    description: &'a str,
    parameters_json_schema: &'a RawValue,
}

#[derive(Serialize)]
struct SystemInstruction<'a> {
    parts: [SystemPart<'a>; 1],
}

#[derive(Serialize)]
struct SystemPart<'a> {
    text: &'a str,
}

impl<'a> ThinkingConfig<'a> {
    /// An unknown name counts as a newer model.
    fn of(config: &'a GeminiConfig) -> Option<Self> {
        let name = config.model.rsplit('/').next().unwrap_or(&config.model);
        if WITHOUT_THINKING.iter().any(|old| name.starts_with(old)) {
            return None;
        }
        let effort = config.effort.as_deref();
        let thinking_budget = effort.and_then(|effort| effort.parse().ok());
        Some(Self {
            include_thoughts: true,
            thinking_level: effort.filter(|_| thinking_budget.is_none()),
            thinking_budget,
        })
    }
}

fn tools(specs: &[ToolSpec]) -> Option<[Tools<'_>; 1]> {
    let declarations = specs.iter().map(|spec| FunctionDeclaration {
        name: &spec.name,
        description: &spec.description,
        parameters_json_schema: spec.input_schema.as_raw(),
    });
    (!specs.is_empty()).then(|| {
        [Tools {
            function_declarations: declarations.collect(),
        }]
    })
}

fn system(text: &str) -> Option<SystemInstruction<'_>> {
    (!text.trim().is_empty()).then_some(SystemInstruction {
        parts: [SystemPart { text }],
    })
}

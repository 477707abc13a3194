//! The body of a request.
//!
//! Settings and tools come first and the conversation last, so that the body of each request starts
//! with the bytes of the one before, which is what the server's cache looks for.

use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{ProviderError, StreamRequest};
use serde::Serialize;

use super::OllamaConfig;
use super::message::{messages, system};
use crate::function_tool::FunctionTool;
use crate::written::{Place, Written};

pub(super) fn body(
    config: &OllamaConfig,
    provenance: &Provenance,
    request: &StreamRequest,
    written: &Written,
) -> Result<Vec<u8>, ProviderError> {
    let place = Place {
        key: "messages",
        opening: system(&request.system),
    };
    let items = &request.items;
    written.body(&head(config, request), &place, items, |from| {
        messages(items, from, provenance)
    })
}

fn head<'a>(config: &'a OllamaConfig, request: &'a StreamRequest) -> Head<'a> {
    let asked = request.max_output_tokens.unwrap_or(u64::MAX);
    Head {
        model: &config.model,
        stream: true,
        truncate: false,
        shift: false,
        think: config.effort.as_deref().map(Think::of),
        options: Options {
            num_ctx: config.context_tokens,
            num_predict: asked.min(config.max_output_tokens),
        },
        tools: request.tools.iter().map(FunctionTool::of).collect(),
    }
}

/// Everything but the messages. `truncate` and `shift` say that what does not fit is an error: by
/// default the server drops the beginning of the conversation without a word. Servers that do not
/// know them ignore them.
#[derive(Serialize)]
struct Head<'a> {
    model: &'a str,
    stream: bool,
    truncate: bool,
    shift: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think<'a>>,
    options: Options,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<FunctionTool<'a>>,
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

impl<'a> Think<'a> {
    fn of(effort: &'a str) -> Self {
        effort.parse().map_or(Self::Level(effort), Self::Whether)
    }
}

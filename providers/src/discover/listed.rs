//! `/models` of services that are compatible with OpenAI, which say limits in many words.

use serde::Deserialize;

use super::ModelLimits;
use crate::lenient::{count, or_absent};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    data: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    /// vLLM.
    #[serde(default, deserialize_with = "count")]
    max_model_len: Option<u64>,
    /// OpenRouter, Together and Fireworks.
    #[serde(default, deserialize_with = "count")]
    context_length: Option<u64>,
    /// Groq.
    #[serde(default, deserialize_with = "count")]
    context_window: Option<u64>,
    /// LM Studio for the model as it is loaded.
    #[serde(default, deserialize_with = "count")]
    loaded_context_length: Option<u64>,
    /// Mistral, and LM Studio.
    #[serde(default, deserialize_with = "count")]
    max_context_length: Option<u64>,
    /// llama.cpp.
    #[serde(default, deserialize_with = "or_absent")]
    meta: Option<Meta>,
    /// Groq.
    #[serde(default, deserialize_with = "count")]
    max_completion_tokens: Option<u64>,
    /// OpenRouter for the one that answers.
    #[serde(default, deserialize_with = "or_absent")]
    top_provider: Option<TopProvider>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default, deserialize_with = "count")]
    n_ctx: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    n_ctx_train: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct TopProvider {
    #[serde(default, deserialize_with = "count")]
    context_length: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    max_completion_tokens: Option<u64>,
}

impl List {
    /// What is said about `model`; nothing if it is not listed.
    pub(super) fn limits_of(&self, model: &str) -> Option<ModelLimits> {
        let listed = self.data.iter().find(|listed| listed.id == model)?;
        Some(ModelLimits {
            context_tokens: listed.context(),
            max_output_tokens: listed.output(),
        })
    }
}

impl Listed {
    /// What is served counts before what the model could take.
    fn context(&self) -> Option<u64> {
        let meta = self.meta.as_ref();
        self.loaded_context_length
            .or(self
                .top_provider
                .as_ref()
                .and_then(|top| top.context_length))
            .or(self.max_model_len)
            .or(meta.and_then(|meta| meta.n_ctx))
            .or(self.context_length)
            .or(self.context_window)
            .or(self.max_context_length)
            .or(meta.and_then(|meta| meta.n_ctx_train))
    }

    fn output(&self) -> Option<u64> {
        let top = self.top_provider.as_ref();
        top.and_then(|top| top.max_completion_tokens)
            .or(self.max_completion_tokens)
    }
}

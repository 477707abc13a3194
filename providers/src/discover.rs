//! Limits of a model, asked from its service.
//!
//! A service that does not answer, or does not say, is no reason not to use it: the caller goes on
//! with what it knows.

use std::time::Duration;

use pullwright_protocol::provider::ProviderError;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::access::{Access, KeyPlace};
use crate::anthropic_messages::{self, ANTHROPIC_WIRE};
use crate::exchange::below;
use crate::gemini::{self, GEMINI_WIRE};
use crate::http::{HttpClient, transport};
use crate::lenient::count;
use crate::ollama::{self, OLLAMA_WIRE};
use crate::open::{OpenError, ProviderSettings, access, address};
use crate::openai;
use crate::openai_chat::OPENAI_CHAT_WIRE;
use crate::openai_responses::OPENAI_RESPONSES_WIRE;

mod listed;

/// How long a service should be waited for, the whole answer included: a run waits for it.
pub const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read: a list of models must not fill our memory.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The version of Anthropic's API whose models say their limits.
const ANTHROPIC_VERSION: &str = "2026-10-21";

/// What a service says about a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelLimits {
    /// The size of the context, in tokens.
    pub context_tokens: Option<u64>,
    /// The most tokens one reply may have.
    pub max_output_tokens: Option<u64>,
}

/// Why a service did not say.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The row itself is wrong.
    #[error(transparent)]
    Row(#[from] OpenError),
    /// Nobody can be asked.
    #[error("providers.{row}: models of wire_api `{wire_api}` cannot be asked for")]
    Unsupported {
        /// The row's name.
        row: String,
        /// Its wire format.
        wire_api: String,
    },
    /// The service cannot be reached, or broke off.
    #[error("{}", .0.message)]
    Transport(ProviderError),
    /// The service took too long.
    #[error("{row}: the API did not say within {within:?} what its models are")]
    Silent {
        /// The row's name.
        row: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The service refused.
    #[error("{row}: the API answered {status} when asked about the model")]
    Refused {
        /// The row's name.
        row: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer cannot be used.
    #[error("{row}: the API's answer about the model {reason}")]
    Answer {
        /// The row's name.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DiscoverError {
    /// Whether asking again would bring nothing else.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unsupported { .. } | Self::Answer { .. } => true,
            Self::Refused { status, .. } => matches!(status, 404 | 405 | 501),
            Self::Row(_) | Self::Transport(_) | Self::Silent { .. } => false,
        }
    }
}

/// Asks the service of a row for its model's limits, and waits no longer than `within`, usually
/// [`DISCOVERY_TIMEOUT`]. `environment` looks a variable up.
///
/// # Errors
/// [`DiscoverError`]; none of them keeps the row from being used but [`DiscoverError::Row`].
pub async fn discover(
    settings: &ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
    http: &HttpClient,
    within: Duration,
) -> Result<ModelLimits, DiscoverError> {
    let asking = Asking {
        row: &settings.name,
        model: settings.model.as_deref().unwrap_or_default(),
        access: access(settings, environment)?,
        http,
        within,
    };
    match settings.wire_api.as_str() {
        ANTHROPIC_WIRE => {
            let base = address(settings, anthropic_messages::DEFAULT_BASE_URL)?;
            asking.anthropic(&base).await
        }
        GEMINI_WIRE => {
            let base = address(settings, gemini::DEFAULT_BASE_URL)?;
            asking.gemini(&base).await
        }
        OLLAMA_WIRE => {
            let base = address(settings, ollama::DEFAULT_BASE_URL)?;
            asking.ollama(&base).await
        }
        OPENAI_CHAT_WIRE => {
            // A compatible service has no default address.
            let base = address(settings, "")?;
            asking.openai(&base).await
        }
        OPENAI_RESPONSES_WIRE => {
            let base = address(settings, openai::DEFAULT_BASE_URL)?;
            asking.openai(&base).await
        }
        _ => Err(DiscoverError::Unsupported {
            row: settings.name.clone(),
            wire_api: settings.wire_api.clone(),
        }),
    }
}

impl ModelLimits {
    /// Writes into `settings` what they do not say themselves.
    ///
    /// An Ollama server makes room for as much context as it is asked for, so what its model could
    /// take at most only bounds the default.
    pub fn complete(&self, settings: &mut ProviderSettings) {
        let context = match self.context_tokens {
            Some(most) if settings.wire_api == OLLAMA_WIRE => {
                Some(most.min(ollama::DEFAULT_CONTEXT_TOKENS))
            }
            told => told,
        };
        settings.context_tokens = settings.context_tokens.or(context);
        settings.max_output_tokens = settings.max_output_tokens.or(self.max_output_tokens);
    }
}

/// One question about one model.
struct Asking<'a> {
    row: &'a str,
    model: &'a str,
    access: Access,
    http: &'a HttpClient,
    within: Duration,
}

impl Asking<'_> {
    async fn anthropic(&self, base: &Url) -> Result<ModelLimits, DiscoverError> {
        #[derive(Deserialize)]
        struct Model {
            #[serde(default, deserialize_with = "count")]
            max_input_tokens: Option<u64>,
            #[serde(default, deserialize_with = "count")]
            max_tokens: Option<u64>,
        }
        let url = below(base, &format!("v1/models/{}", self.model));
        let question = self.http.client.get(url);
        let question = question.header("anthropic-version", ANTHROPIC_VERSION);
        let model: Model = self.ask(question, KeyPlace::Bearer).await?;
        Ok(ModelLimits {
            context_tokens: model.max_input_tokens,
            max_output_tokens: model.max_tokens,
        })
    }

    async fn gemini(&self, base: &Url) -> Result<ModelLimits, DiscoverError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Model {
            #[serde(default, deserialize_with = "count")]
            input_token_limit: Option<u64>,
            #[serde(default, deserialize_with = "count")]
            output_token_limit: Option<u64>,
        }
        let url = below(base, &gemini::model_path(self.model));
        let question = self.http.client.get(url);
        let place = KeyPlace::Header(gemini::KEY_HEADER);
        let model: Model = self.ask(question, place).await?;
        Ok(ModelLimits {
            context_tokens: model.input_token_limit,
            max_output_tokens: model.output_token_limit,
        })
    }

    async fn ollama(&self, base: &Url) -> Result<ModelLimits, DiscoverError> {
        #[derive(Deserialize)]
        struct Model {
            #[serde(default)]
            model_info: serde_json::Map<String, serde_json::Value>,
        }
        let question = self.http.client.post(below(base, "api/show"));
        let question = question.body(json!({ "model": self.model }).to_string());
        let model: Model = self.ask(question, KeyPlace::Bearer).await?;
        // The key begins with the model's architecture.
        let mut about = model.model_info.iter();
        let context = about.find(|(key, _)| key.ends_with(".context_length"));
        Ok(ModelLimits {
            context_tokens: context.and_then(|(_, tokens)| tokens.as_u64()),
            max_output_tokens: None,
        })
    }

    async fn openai(&self, base: &Url) -> Result<ModelLimits, DiscoverError> {
        let question = self.http.client.get(below(base, "models"));
        let list: listed::List = self.ask(question, KeyPlace::Bearer).await?;
        let limits = list.limits_of(self.model);
        limits.ok_or_else(|| self.unusable(format!("does not list `{}`", self.model)))
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        question: RequestBuilder,
        place: KeyPlace,
    ) -> Result<T, DiscoverError> {
        let answer = tokio::time::timeout(self.within, self.body(question, &place)).await;
        let body = answer.map_err(|_| DiscoverError::Silent {
            row: self.row.to_owned(),
            within: self.within,
        })??;
        serde_json::from_slice(&body)
            .map_err(|error| self.unusable(format!("makes no sense: {error}")))
    }

    async fn body(
        &self,
        question: RequestBuilder,
        place: &KeyPlace,
    ) -> Result<Vec<u8>, DiscoverError> {
        let headers = self.access.headers(self.row, place).await;
        let (headers, _) = headers.map_err(DiscoverError::Transport)?;
        let question = question.headers(headers);
        let broken = |error| DiscoverError::Transport(transport(&self.row.into(), error));
        let mut response = question.send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(DiscoverError::Refused {
                row: self.row.to_owned(),
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BODY_BYTES {
                return Err(self.unusable(format!("is longer than {MAX_BODY_BYTES} bytes")));
            }
        }
        Ok(body)
    }

    fn unusable(&self, reason: String) -> DiscoverError {
        DiscoverError::Answer {
            row: self.row.to_owned(),
            reason,
        }
    }
}

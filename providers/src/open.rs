//! The built-in provider for a row of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::provider::Prices;
use url::Url;

use crate::access::{Access, KeyCommand};
use crate::anthropic_messages::{
    self, ANTHROPIC_WIRE, AnthropicConfig, AnthropicMessages, Thinking,
};
use crate::gemini::{self, GEMINI_WIRE, Gemini, GeminiConfig};
use crate::http::{HttpClient, StreamLimits};
use crate::kit::Provider;
use crate::ollama::{self, OLLAMA_WIRE, Ollama, OllamaConfig};
use crate::openai::{self, OpenAiConfig};
use crate::openai_chat::{ChatQuirks, OPENAI_CHAT_WIRE, OpenAiChat};
use crate::openai_responses::{OPENAI_RESPONSES_WIRE, OpenAiResponses};
use crate::scripted::{SCRIPTED_WIRE, ScriptError, ScriptedProvider};
use crate::secret::Secret;

mod address;

pub(crate) use address::address;

/// The wire formats [`open`] knows.
pub const WIRE_APIS: &[&str] = &[
    ANTHROPIC_WIRE,
    GEMINI_WIRE,
    OLLAMA_WIRE,
    OPENAI_CHAT_WIRE,
    OPENAI_RESPONSES_WIRE,
    SCRIPTED_WIRE,
];

/// How long a key that a command printed is good for, unless the row says.
pub const DEFAULT_KEY_REFRESH: Duration = Duration::from_secs(300);

/// A row of `[providers]`.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// The row's name.
    pub name: String,
    /// The wire format, one of [`WIRE_APIS`].
    pub wire_api: String,
    /// Where the API is; each format has a default where there is one.
    pub base_url: Option<Url>,
    /// The name of the environment variable that holds the key.
    pub env_key: Option<String>,
    /// A command that prints the key instead: its name and arguments.
    pub key_command: Vec<String>,
    /// How long such a key is good for; [`DEFAULT_KEY_REFRESH`] if absent.
    pub key_refresh: Option<Duration>,
    /// More headers, each with the variable that holds its value.
    pub env_headers: BTreeMap<String, String>,
    /// A PEM file of certificate authorities to trust beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// The model's name on the wire.
    pub model: Option<String>,
    /// The size of the model's context, in tokens.
    pub context_tokens: Option<u64>,
    /// The most tokens one reply may have.
    pub max_output_tokens: Option<u64>,
    /// What the model costs.
    pub prices: Option<Prices>,
    /// How hard the model should think, in the provider's own words.
    pub effort: Option<String>,
    /// Whether the service's own compaction is asked for where a conversation becomes too long; by
    /// default where the service is the vendor's own.
    pub own_compaction: Option<bool>,
    /// How the service's Chat Completions depart from OpenAI's.
    pub quirks: Option<ChatQuirks>,
    /// The script file of a `scripted` row.
    pub script: Option<PathBuf>,
}

/// Why a row cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The wire format does not exist.
    #[error(
        "providers.{row}: unknown wire_api `{wire_api}`; there are: {}",
        WIRE_APIS.join(", ")
    )]
    UnknownWireApi {
        /// The row's name.
        row: String,
        /// What it asked for.
        wire_api: String,
    },
    /// A key of the row is missing.
    #[error("providers.{row}: `{key}` is missing; {hint}")]
    MissingSetting {
        /// The row's name.
        row: String,
        /// The missing key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// The variable that should hold the key is empty or not set.
    #[error("providers.{row}: the environment variable {variable} is not set; put the key there")]
    MissingKey {
        /// The row's name.
        row: String,
        /// The variable.
        variable: String,
    },
    /// The base URL cannot be used.
    #[error("providers.{row}: `base_url` {url} {reason}")]
    BaseUrl {
        /// The row's name.
        row: String,
        /// The URL, without what may be a secret in it.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client cannot be set up.
    #[error("providers.{row}: {reason}")]
    Client {
        /// The row's name.
        row: String,
        /// What is wrong.
        reason: String,
    },
    /// The script file cannot be used.
    #[error("providers.{row}: {source}")]
    Script {
        /// The row's name.
        row: String,
        /// What is wrong with it.
        source: ScriptError,
    },
}

/// Opens the built-in provider of a row. `environment` looks a variable up.
///
/// # Errors
/// [`OpenError`], naming the row and the key or variable to mend.
pub fn open(
    settings: ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Provider>, OpenError> {
    let row = Row {
        access: access(&settings, environment),
        settings,
    };
    match row.settings.wire_api.as_str() {
        ANTHROPIC_WIRE => row.anthropic(),
        GEMINI_WIRE => row.gemini(),
        OLLAMA_WIRE => row.ollama(),
        OPENAI_CHAT_WIRE => row.openai_chat(),
        OPENAI_RESPONSES_WIRE => row.openai_responses(),
        SCRIPTED_WIRE => row.scripted(),
        _ => Err(OpenError::UnknownWireApi {
            row: row.settings.name,
            wire_api: row.settings.wire_api,
        }),
    }
}

/// A row that is being opened.
struct Row {
    settings: ProviderSettings,
    access: Result<Access, OpenError>,
}

type Opened = Result<Arc<dyn Provider>, OpenError>;

impl Row {
    fn scripted(self) -> Opened {
        let row = self.settings.name;
        let path = self.settings.script.ok_or(OpenError::MissingSetting {
            row: row.clone(),
            key: "script",
            hint: "name the script file",
        })?;
        match ScriptedProvider::load(row.clone(), &path) {
            Ok(provider) => Ok(Arc::new(provider)),
            Err(source) => Err(OpenError::Script { row, source }),
        }
    }

    fn anthropic(self) -> Opened {
        self.needs_key()?;
        let model = self.model()?;
        let http = self.http()?;
        let config = AnthropicConfig {
            base_url: address(&self.settings, anthropic_messages::DEFAULT_BASE_URL)?,
            access: self.access?,
            max_output_tokens: self
                .settings
                .max_output_tokens
                .unwrap_or(anthropic_messages::DEFAULT_MAX_OUTPUT_TOKENS),
            context_tokens: self.settings.context_tokens,
            prices: self.settings.prices,
            thinking: Thinking::for_model(&model),
            compacts: compacts(&self.settings, anthropic_messages::DEFAULT_BASE_URL),
            effort: self.settings.effort,
            limits: StreamLimits::default(),
            name: self.settings.name,
            model,
        };
        Ok(Arc::new(AnthropicMessages::new(config, http)))
    }

    fn gemini(self) -> Opened {
        self.needs_key()?;
        let http = self.http()?;
        let config = GeminiConfig {
            base_url: address(&self.settings, gemini::DEFAULT_BASE_URL)?,
            model: self.model()?,
            access: self.access?,
            max_output_tokens: self
                .settings
                .max_output_tokens
                .unwrap_or(gemini::DEFAULT_MAX_OUTPUT_TOKENS),
            context_tokens: self.settings.context_tokens,
            prices: self.settings.prices,
            effort: self.settings.effort,
            limits: StreamLimits::default(),
            name: self.settings.name,
        };
        Ok(Arc::new(Gemini::new(config, http)))
    }

    fn ollama(self) -> Opened {
        let http = self.http()?;
        let config = OllamaConfig {
            base_url: address(&self.settings, ollama::DEFAULT_BASE_URL)?,
            model: self.model()?,
            access: self.access?,
            max_output_tokens: self
                .settings
                .max_output_tokens
                .unwrap_or(ollama::DEFAULT_MAX_OUTPUT_TOKENS),
            context_tokens: self
                .settings
                .context_tokens
                .unwrap_or(ollama::DEFAULT_CONTEXT_TOKENS),
            prices: self.settings.prices,
            effort: self.settings.effort,
            limits: StreamLimits::default(),
            name: self.settings.name,
        };
        Ok(Arc::new(Ollama::new(config, http)))
    }

    fn openai_chat(self) -> Opened {
        let http = self.http()?;
        // A compatible service has no default address.
        let config = self.openai("")?;
        Ok(Arc::new(OpenAiChat::new(config, http)))
    }

    fn openai_responses(self) -> Opened {
        let http = self.http()?;
        let config = self.openai(openai::DEFAULT_BASE_URL)?;
        Ok(Arc::new(OpenAiResponses::new(config, http)))
    }

    fn openai(self, default: &str) -> Result<OpenAiConfig, OpenError> {
        Ok(OpenAiConfig {
            base_url: address(&self.settings, default)?,
            model: self.model()?,
            access: self.access?,
            max_output_tokens: self.settings.max_output_tokens,
            context_tokens: self.settings.context_tokens,
            prices: self.settings.prices,
            compacts: compacts(&self.settings, openai::DEFAULT_BASE_URL),
            effort: self.settings.effort,
            quirks: self.settings.quirks.unwrap_or_default(),
            limits: StreamLimits::default(),
            name: self.settings.name,
        })
    }

    fn needs_key(&self) -> Result<(), OpenError> {
        if has_secrets(&self.settings) {
            return Ok(());
        }
        Err(OpenError::MissingSetting {
            row: self.settings.name.clone(),
            key: "env_key",
            hint: "name the variable with the key",
        })
    }

    fn model(&self) -> Result<String, OpenError> {
        let model = self.settings.model.clone();
        model.ok_or_else(|| OpenError::MissingSetting {
            row: self.settings.name.clone(),
            key: "model",
            hint: "name the model",
        })
    }

    fn http(&self) -> Result<HttpClient, OpenError> {
        let client = HttpClient::for_row(&self.settings);
        client.map_err(|reason| OpenError::Client {
            row: self.settings.name.clone(),
            reason,
        })
    }
}

/// Whether the service's own compaction is asked for: services that copied a wire format seldom copied
/// that.
fn compacts(settings: &ProviderSettings, vendor: &str) -> bool {
    let vendor = Url::parse(vendor).ok().map(|url| url.origin());
    let given = settings.base_url.as_ref().map(Url::origin);
    let is_vendor = given.is_none() || given == vendor;
    settings.own_compaction.unwrap_or(is_vendor)
}

/// How a row is let in.
pub(crate) fn access(
    settings: &ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Access, OpenError> {
    let row = &settings.name;
    let client = |reason| OpenError::Client {
        row: row.clone(),
        reason,
    };
    let mut access = match (&settings.env_key, settings.key_command.split_first()) {
        (Some(variable), _) => {
            let key = secret(variable, &environment, row)?;
            Access::with_key(key, variable).map_err(client)?
        }
        (None, Some((program, arguments))) => Access::with_command(KeyCommand::new(
            program.clone(),
            arguments.to_vec(),
            settings.key_refresh.unwrap_or(DEFAULT_KEY_REFRESH),
        )),
        (None, None) => Access::default(),
    };
    for (header, variable) in &settings.env_headers {
        let value = secret(variable, &environment, row)?;
        access = access.and_header(header, &value).map_err(client)?;
    }
    Ok(access)
}

fn secret(
    variable: &str,
    environment: impl Fn(&str) -> Option<String>,
    row: &str,
) -> Result<Secret, OpenError> {
    let value = environment(variable).unwrap_or_default();
    match value.trim() {
        "" => Err(OpenError::MissingKey {
            row: row.to_owned(),
            variable: variable.to_owned(),
        }),
        value => Ok(Secret::new(value)),
    }
}

/// Whether the row sends anything that nobody else may read.
fn has_secrets(settings: &ProviderSettings) -> bool {
    settings.env_key.is_some()
        || !settings.key_command.is_empty()
        || !settings.env_headers.is_empty()
}

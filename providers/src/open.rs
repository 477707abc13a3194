//! The built-in provider for a row of the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use pullwright_protocol::provider::Prices;
use url::{Host, Url};

use crate::anthropic_messages::{
    ANTHROPIC_WIRE, AnthropicConfig, AnthropicMessages, DEFAULT_BASE_URL,
    DEFAULT_MAX_OUTPUT_TOKENS, Thinking,
};
use crate::gemini::{self, GEMINI_WIRE, Gemini, GeminiConfig};
use crate::http::{HttpClient, StreamTimeouts};
use crate::kit::Provider;
use crate::ollama::{self, OLLAMA_WIRE, Ollama, OllamaConfig};
use crate::scripted::{SCRIPTED_WIRE, ScriptError, ScriptedProvider};
use crate::secret::Secret;

/// The wire formats [`open`] knows.
pub const WIRE_APIS: &[&str] = &[ANTHROPIC_WIRE, GEMINI_WIRE, OLLAMA_WIRE, SCRIPTED_WIRE];

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
        /// The URL, without credentials.
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
    match settings.wire_api.as_str() {
        ANTHROPIC_WIRE => open_anthropic(settings, environment),
        GEMINI_WIRE => open_gemini(settings, environment),
        OLLAMA_WIRE => open_ollama(settings, environment),
        SCRIPTED_WIRE => open_scripted(settings),
        _ => Err(OpenError::UnknownWireApi {
            row: settings.name,
            wire_api: settings.wire_api,
        }),
    }
}

fn open_scripted(settings: ProviderSettings) -> Result<Arc<dyn Provider>, OpenError> {
    let Some(path) = &settings.script else {
        return Err(OpenError::MissingSetting {
            row: settings.name,
            key: "script",
            hint: "name the script file",
        });
    };
    match ScriptedProvider::load(settings.name.clone(), path) {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(source) => Err(OpenError::Script {
            row: settings.name,
            source,
        }),
    }
}

fn open_anthropic(
    settings: ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Provider>, OpenError> {
    let row = settings.name.clone();
    let variable = required(
        settings.env_key,
        &row,
        "env_key",
        "name the variable with the key",
    )?;
    let model = required(settings.model, &row, "model", "name the model")?;
    let config = AnthropicConfig {
        name: row.clone(),
        base_url: base_url(settings.base_url, DEFAULT_BASE_URL, &row)?,
        key: key(&variable, environment, &row)?,
        key_source: variable,
        max_output_tokens: settings
            .max_output_tokens
            .unwrap_or(DEFAULT_MAX_OUTPUT_TOKENS),
        context_tokens: settings.context_tokens,
        prices: settings.prices,
        thinking: Thinking::for_model(&model),
        effort: settings.effort,
        timeouts: StreamTimeouts::default(),
        model,
    };
    let opened = HttpClient::shared().and_then(|http| AnthropicMessages::new(config, http));
    match opened {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(reason) => Err(OpenError::Client { row, reason }),
    }
}

fn open_gemini(
    settings: ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Provider>, OpenError> {
    let row = settings.name.clone();
    let variable = required(
        settings.env_key,
        &row,
        "env_key",
        "name the variable with the key",
    )?;
    let config = GeminiConfig {
        name: row.clone(),
        base_url: base_url(settings.base_url, gemini::DEFAULT_BASE_URL, &row)?,
        key: key(&variable, environment, &row)?,
        key_source: variable,
        model: required(settings.model, &row, "model", "name the model")?,
        max_output_tokens: settings
            .max_output_tokens
            .unwrap_or(gemini::DEFAULT_MAX_OUTPUT_TOKENS),
        context_tokens: settings.context_tokens,
        prices: settings.prices,
        effort: settings.effort,
        timeouts: StreamTimeouts::default(),
    };
    let opened = HttpClient::shared().and_then(|http| Gemini::new(config, http));
    match opened {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(reason) => Err(OpenError::Client { row, reason }),
    }
}

fn open_ollama(
    settings: ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Provider>, OpenError> {
    let row = settings.name.clone();
    let base_url = address(&settings, ollama::DEFAULT_BASE_URL)?;
    let key = optional_key(&settings, environment)?;
    let config = OllamaConfig {
        name: row.clone(),
        base_url,
        key,
        model: required(settings.model, &row, "model", "name the model")?,
        max_output_tokens: settings
            .max_output_tokens
            .unwrap_or(ollama::DEFAULT_MAX_OUTPUT_TOKENS),
        context_tokens: settings
            .context_tokens
            .unwrap_or(ollama::DEFAULT_CONTEXT_TOKENS),
        prices: settings.prices,
        effort: settings.effort,
        timeouts: StreamTimeouts::default(),
    };
    let opened = HttpClient::shared().and_then(|http| Ollama::new(config, http));
    match opened {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(reason) => Err(OpenError::Client { row, reason }),
    }
}

fn required(
    value: Option<String>,
    row: &str,
    key: &'static str,
    hint: &'static str,
) -> Result<String, OpenError> {
    let row = row.to_owned();
    value.ok_or(OpenError::MissingSetting { row, key, hint })
}

fn key(
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
        key => Ok(Secret::new(key)),
    }
}

/// Where a row's service is. Without a key there is none to protect on the way.
pub(crate) fn address(settings: &ProviderSettings, default: &str) -> Result<Url, OpenError> {
    match (&settings.base_url, &settings.env_key) {
        (Some(url), None) if url.scheme() == "http" && !has_credentials(url) => Ok(url.clone()),
        (given, _) => base_url(given.clone(), default, &settings.name),
    }
}

/// A row's key and the variable it is in, for services that may want none.
pub(crate) fn optional_key(
    settings: &ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Secret, String)>, OpenError> {
    let Some(variable) = &settings.env_key else {
        return Ok(None);
    };
    let key = key(variable, environment, &settings.name)?;
    Ok(Some((key, variable.clone())))
}

/// A key must not travel in the clear, except to this machine.
fn base_url(given: Option<Url>, default: &str, row: &str) -> Result<Url, OpenError> {
    let Some(mut url) = given.or_else(|| Url::parse(default).ok()) else {
        let row = row.to_owned();
        return Err(OpenError::MissingSetting {
            row,
            key: "base_url",
            hint: "say where the API is",
        });
    };
    let reason = match url.scheme() {
        _ if has_credentials(&url) => "holds credentials; use `env_key`",
        "https" => return Ok(url),
        "http" if is_loopback(&url) => return Ok(url),
        "http" => "would send the key in the clear; use https",
        _ => "is not an https URL",
    };
    // Neither can fail for a URL that has credentials, and others have none to remove.
    let _ = (url.set_username(""), url.set_password(None));
    Err(OpenError::BaseUrl {
        row: row.to_owned(),
        url: url.into(),
        reason,
    })
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

//! A model: a row of `[providers]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pullwright_protocol::provider::Prices;
use pullwright_protocol::tool::{APPLY_PATCH_FORMAT, STR_REPLACE_FORMAT};

use super::ConfigError;
use super::section::{Row, Section};

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderConfig {
    /// How it is reached.
    pub link: ProviderLink,
    /// The model's name, as its vendor writes it.
    pub model: Option<String>,
    /// The most tokens one reply may have.
    pub max_output_tokens: Option<u64>,
    /// The size of the model's context, in tokens.
    pub context_tokens: Option<u64>,
    /// The format in which the model changes files; by its family if absent.
    pub edit_tool: Option<EditTool>,
    /// What the model costs; without it a budget in dollars cannot be kept.
    pub prices: Option<Prices>,
}

/// The format in which a model changes files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditTool {
    /// One text is replaced by another.
    StrReplace,
    /// A patch between `*** Begin Patch` and `*** End Patch`.
    ApplyPatch,
}

impl EditTool {
    /// What suits a model by its name: OpenAI trained theirs on patches, with which others fail more
    /// often than not.
    #[must_use]
    pub fn for_model(model: &str) -> Self {
        const TRAINED_ON_PATCHES: [&str; 5] = ["gpt-4.1", "gpt-5", "gpt-6", "codex", "gpt-oss"];
        let name = model.rsplit('/').next().unwrap_or(model);
        let is_trained = TRAINED_ON_PATCHES
            .iter()
            .any(|family| name.starts_with(family));
        if is_trained {
            Self::ApplyPatch
        } else {
            Self::StrReplace
        }
    }

    /// As it stands in the configuration and in the `_meta` of tools.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StrReplace => STR_REPLACE_FORMAT,
            Self::ApplyPatch => APPLY_PATCH_FORMAT,
        }
    }
}

/// Who makes a conversation shorter that became too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// The provider's API, in a form that only it can read.
    Provider,
    /// The model, in its own words.
    Summary,
}

/// How a model is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderLink {
    /// A wire format that Pullwright speaks itself.
    Wire(WireLink),
    /// A child process that speaks the provider protocol over stdio.
    Command {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Variables to set.
        env: BTreeMap<String, String>,
        /// Names of variables to pass on from the server's own environment.
        env_vars: Vec<String>,
    },
    /// A service that speaks the provider protocol over WebSocket.
    Url {
        /// Its address: `wss://`, or `ws://` on this machine.
        url: String,
        /// The name of the environment variable that holds the bearer token.
        bearer_token_env_var: Option<String>,
    },
    /// A native library that speaks the provider protocol.
    Library {
        /// The file.
        library: PathBuf,
        /// The file's SHA-256, in lower case.
        sha256: String,
    },
}

/// A service in a wire format that Pullwright speaks itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireLink {
    /// The vendor whose well-known settings fill in what the row does not say.
    pub preset: Option<String>,
    /// The format, such as `anthropic_messages`; empty where the preset says it.
    pub wire_api: String,
    /// Where the service is; the format's own default if absent.
    pub base_url: Option<String>,
    /// The name of the environment variable that holds the key.
    pub env_key: Option<String>,
    /// The command that prints the key.
    pub auth: Option<KeyCommand>,
    /// More headers, each with the name of the variable that holds its value.
    pub env_http_headers: BTreeMap<String, String>,
    /// The file of certificate authorities to trust beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How hard the model thinks, in its vendor's own words.
    pub effort: Option<String>,
    /// Who makes a conversation shorter that became too long; by default the provider where it is known
    /// to do so.
    pub compaction: Option<Compaction>,
    /// How the service departs from its format.
    pub quirks: Option<serde_json::Map<String, serde_json::Value>>,
    /// The file of replies, for `scripted` only.
    pub script: Option<PathBuf>,
}

/// A command that prints a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How long the key is good for, where the row says.
    pub refresh: Option<Duration>,
}

impl ProviderLink {
    /// The environment variables that it names.
    #[must_use]
    pub fn variables(&self) -> Vec<&String> {
        match self {
            Self::Wire(wire) => {
                let headers = wire.env_http_headers.values();
                wire.env_key.iter().chain(headers).collect()
            }
            Self::Command { env_vars, .. } => env_vars.iter().collect(),
            Self::Url {
                bearer_token_env_var,
                ..
            } => bearer_token_env_var.iter().collect(),
            Self::Library { .. } => Vec::new(),
        }
    }
}

pub(super) const KEYS: &[&str] = &[
    "wire_api",
    "preset",
    "base_url",
    "env_key",
    "auth",
    "env_http_headers",
    "ca_file",
    "effort",
    "compaction",
    "quirks",
    "script",
    "command",
    "args",
    "env",
    "env_vars",
    "url",
    "bearer_token_env_var",
    "library",
    "sha256",
    "model",
    "max_output_tokens",
    "context_tokens",
    "edit_tool",
    "prices",
];

pub(super) const PRICE_KEYS: &[&str] = &["input", "cached_input", "cache_write", "output"];

pub(super) const AUTH_KEYS: &[&str] = &["command", "refresh_sec"];

/// The keys of a wire format, named or by preset.
const WIRE_KEYS: &[&str] = &[
    "base_url",
    "env_key",
    "auth",
    "env_http_headers",
    "ca_file",
    "effort",
    "compaction",
    "quirks",
    "script",
];

/// The keys that choose a link, each with the keys that only that link has.
const LINKS: &[(&str, &[&str])] = &[
    ("wire_api", WIRE_KEYS),
    ("preset", WIRE_KEYS),
    ("command", &["args", "env", "env_vars"]),
    ("url", &["bearer_token_env_var"]),
    ("library", &["sha256"]),
];

/// The wire format whose replies come from a file.
const SCRIPTED: &str = "scripted";

/// The wire formats in which a conversation can be compacted.
const COMPACTING_WIRES: [&str; 2] = ["anthropic_messages", "openai_responses"];

/// More tokens than any model takes: a slip of the pen.
const MAX_TOKENS: u64 = 1_000_000_000;

impl ProviderConfig {
    pub(super) fn read(row: &Row<'_, '_>) -> Result<Self, ConfigError> {
        let section = row.section(KEYS)?;
        Ok(Self {
            link: read_link(&section)?,
            model: section.non_empty("model")?,
            max_output_tokens: section.integer("max_output_tokens", 1..=MAX_TOKENS)?,
            context_tokens: section.integer("context_tokens", 1..=MAX_TOKENS)?,
            edit_tool: read_edit_tool(&section)?,
            prices: read_prices(&section)?,
        })
    }
}

fn read_link(section: &Section<'_>) -> Result<ProviderLink, ConfigError> {
    match section.one_of(LINKS)? {
        "wire_api" | "preset" => read_wire(section).map(ProviderLink::Wire),
        "command" => Ok(ProviderLink::Command {
            command: section.program("command")?.unwrap_or_default(),
            args: section.strings("args")?.unwrap_or_default(),
            env: section.env("env")?,
            env_vars: section.variables("env_vars")?,
        }),
        "url" => Ok(ProviderLink::Url {
            url: read_url(section)?,
            bearer_token_env_var: section.variable("bearer_token_env_var")?,
        }),
        _ => Ok(ProviderLink::Library {
            library: section.path("library")?.unwrap_or_default(),
            sha256: section.sha256("sha256")?,
        }),
    }
}

/// The whole conversation goes there, so it does not go in the clear.
fn read_url(section: &Section<'_>) -> Result<String, ConfigError> {
    let text = section.url("url", &["wss", "ws"])?.unwrap_or_default();
    let url = url::Url::parse(&text)
        .ok()
        .filter(|url| url.scheme() == "ws");
    let stays_here = url.as_ref().is_none_or(|url| match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    });
    if stays_here {
        return Ok(text);
    }
    let message =
        "the conversation would travel in the clear; use `wss://`, or `ws://` on this machine";
    Err(section.error("url", message))
}

fn read_wire(section: &Section<'_>) -> Result<WireLink, ConfigError> {
    let wire_api = section.non_empty("wire_api")?.unwrap_or_default();
    check_script(section, wire_api == SCRIPTED)?;
    let compaction = read_compaction(section, &wire_api)?;
    Ok(WireLink {
        preset: section.non_empty("preset")?,
        wire_api,
        base_url: section.url("base_url", &["https", "http"])?,
        env_key: section.variable("env_key")?,
        auth: read_auth(section)?,
        env_http_headers: section.env_headers("env_http_headers")?,
        ca_file: section.path("ca_file")?,
        effort: section.non_empty("effort")?,
        compaction,
        quirks: read_quirks(section)?,
        script: section.path("script")?,
    })
}

fn read_auth(section: &Section<'_>) -> Result<Option<KeyCommand>, ConfigError> {
    if !section.has("auth") {
        return Ok(None);
    }
    if section.has("env_key") {
        return Err(section.error(
            "auth",
            "the key comes from `env_key` already; remove one of them",
        ));
    }
    let auth = section.section("auth", AUTH_KEYS)?;
    let mut command = auth.strings("command")?.unwrap_or_default();
    match command.first_mut() {
        Some(program) if !program.is_empty() => *program = auth.resolve_program(program.clone()),
        _ => {
            let message = "name the program that prints the key, and its arguments, as a list";
            return Err(auth.error("command", message));
        }
    }
    Ok(Some(KeyCommand {
        command,
        refresh: auth.duration_sec("refresh_sec")?,
    }))
}

/// What they mean is for the wire format to say.
fn read_quirks(
    section: &Section<'_>,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, ConfigError> {
    section.read("quirks", "a table of strings and booleans", |value| {
        let entries = value.as_table()?.iter();
        entries
            .map(|(name, value)| {
                let value = value.get_ref();
                let text = value.as_str().map(serde_json::Value::from);
                let quirk = text.or_else(|| value.as_bool().map(serde_json::Value::from))?;
                Some((name.get_ref().to_string(), quirk))
            })
            .collect()
    })
}

fn check_script(section: &Section<'_>, scripted: bool) -> Result<(), ConfigError> {
    if scripted && !section.has("script") {
        let message = "it is missing; `wire_api = \"scripted\"` plays the replies of a file";
        return Err(section.error("script", message));
    }
    let stray = match scripted {
        true => [
            "base_url",
            "env_key",
            "auth",
            "env_http_headers",
            "ca_file",
            "effort",
            "compaction",
            "quirks",
        ]
        .as_slice(),
        false => ["script"].as_slice(),
    };
    match stray.iter().find(|key| section.has(key)) {
        Some(key) if scripted => Err(section.error(
            key,
            "it has no meaning for `wire_api = \"scripted\"`; remove it",
        )),
        Some(key) => Err(section.error(key, "it is for `wire_api = \"scripted\"` only; remove it")),
        None => Ok(()),
    }
}

fn read_compaction(
    section: &Section<'_>,
    wire_api: &str,
) -> Result<Option<Compaction>, ConfigError> {
    let known = wire_api.is_empty() || COMPACTING_WIRES.contains(&wire_api);
    match section.non_empty("compaction")?.as_deref() {
        None => Ok(None),
        Some("summary") => Ok(Some(Compaction::Summary)),
        Some("provider") if known => Ok(Some(Compaction::Provider)),
        Some("provider") => Err(section.error(
            "compaction",
            format!("`{wire_api}` knows none; use `summary`, or leave it out"),
        )),
        Some(_) => Err(section.error("compaction", "expected `provider` or `summary`")),
    }
}

fn read_edit_tool(section: &Section<'_>) -> Result<Option<EditTool>, ConfigError> {
    match section.non_empty("edit_tool")?.as_deref() {
        None => Ok(None),
        Some(STR_REPLACE_FORMAT) => Ok(Some(EditTool::StrReplace)),
        Some(APPLY_PATCH_FORMAT) => Ok(Some(EditTool::ApplyPatch)),
        Some(_) => Err(section.error("edit_tool", "expected `str_replace` or `apply_patch`")),
    }
}

fn read_prices(section: &Section<'_>) -> Result<Option<Prices>, ConfigError> {
    /// Dollars per million tokens. More is a price per token by mistake.
    const RANGE: std::ops::RangeInclusive<f64> = 0.0..=100_000.0;

    if !section.has("prices") {
        return Ok(None);
    }
    let prices = section.section("prices", PRICE_KEYS)?;
    let price = |key| prices.number(key, RANGE);
    let needed = |key| {
        price(key)?.ok_or_else(|| prices.error(key, "it is missing; US dollars per million tokens"))
    };
    let input = needed("input")?;
    Ok(Some(Prices {
        input,
        cached_input: price("cached_input")?.unwrap_or(input),
        cache_write: price("cache_write")?.unwrap_or(input),
        output: needed("output")?,
    }))
}

//! A tool server: a row of `[tools]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::app::{self, AppConfig};
use super::forge_hosts;
use super::section::{Row, Section, nearest};
use super::waits::ForgeWaits;

/// A tool server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConfig {
    /// How it is reached.
    pub link: ToolLink,
    /// On which side it runs.
    pub runs: Runs,
    /// The time it has for its handshake.
    pub startup_timeout: Duration,
    /// The time it has for one call.
    pub tool_timeout: Duration,
    /// The tools that the model sees; all of them if absent.
    pub enabled_tools: Option<Vec<String>>,
    /// Tools that the model does not see, even if they are enabled.
    pub disabled_tools: Vec<String>,
    /// Whether a run fails when the server does not start. True for built-in servers and forges, false
    /// for others, if the file does not say.
    pub required: bool,
    /// Variables to set.
    pub env: BTreeMap<String, String>,
    /// Names of variables to pass on from the server's own environment; on the host only.
    pub env_vars: Vec<String>,
    /// For a forge: the git hosts it serves, each of which no other row has. The row is opened for
    /// repositories there only.
    pub hosts: Vec<String>,
    /// Where the service behind the tool is; its public address if absent.
    pub base_url: Option<String>,
    /// For GitHub: the App to work as, instead of with a token.
    pub app: Option<AppConfig>,
    /// For GitHub: how long to wait for what.
    pub waits: ForgeWaits,
}

/// How a tool server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolLink {
    /// One that ships with Pullwright.
    Builtin(String),
    /// A child process that speaks MCP over stdio.
    Command {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its working folder; the workspace, or on the host the server's own, if absent.
        cwd: Option<PathBuf>,
    },
    /// An MCP service.
    Url {
        /// Its address.
        url: String,
        /// The name of the environment variable that holds the bearer token.
        bearer_token_env_var: Option<String>,
        /// Headers to send, none of which is a secret.
        http_headers: BTreeMap<String, String>,
        /// More of them, each with the name of the environment variable that holds its value.
        env_http_headers: BTreeMap<String, String>,
    },
    /// A native library that speaks MCP.
    Library {
        /// The file.
        library: PathBuf,
        /// The file's SHA-256, in lower case.
        sha256: String,
    },
}

/// On which side a tool server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Beside the workspace, without credentials.
    Sandbox,
    /// Beside the server, out of the workspace's reach.
    Host,
}

pub(super) const KEYS: &[&str] = &[
    "builtin",
    "command",
    "args",
    "cwd",
    "url",
    "bearer_token_env_var",
    "http_headers",
    "env_http_headers",
    "library",
    "sha256",
    "runs",
    "startup_timeout_sec",
    "tool_timeout_sec",
    "enabled_tools",
    "disabled_tools",
    "required",
    "env",
    "env_vars",
    "hosts",
    "base_url",
    "app_id",
    "app_key_env",
    "app_key_file",
    "app_workflows",
    "request_timeout_sec",
    "longest_wait_sec",
];

/// The keys that choose a link, each with the keys that only that link has.
const LINKS: &[(&str, &[&str])] = &[
    (
        "builtin",
        &[
            "env",
            "env_vars",
            "hosts",
            "base_url",
            "app_id",
            "app_key_env",
            "app_key_file",
            "app_workflows",
            "request_timeout_sec",
            "longest_wait_sec",
        ],
    ),
    ("command", &["args", "cwd", "env", "env_vars", "hosts"]),
    (
        "url",
        &[
            "bearer_token_env_var",
            "http_headers",
            "env_http_headers",
            "hosts",
        ],
    ),
    ("library", &["sha256", "hosts"]),
];

/// The servers that ship with Pullwright, and the one side on which each works: what touches the
/// workspace never runs on the host, and what holds a credential never runs in the sandbox.
const BUILTIN: &[(&str, Runs)] = &[
    ("fs", Runs::Sandbox),
    ("bash", Runs::Sandbox),
    ("git", Runs::Sandbox),
    ("github", Runs::Host),
];

const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
const TOOL_TIMEOUT: Duration = Duration::from_secs(60);
/// Built-in servers bound each call themselves; this only catches one that hangs.
const BUILTIN_TOOL_TIMEOUT: Duration = Duration::from_secs(900);

impl ToolConfig {
    pub(super) fn read(row: &Row<'_, '_>) -> Result<Self, ConfigError> {
        let section = row.section(KEYS)?;
        let link = read_link(&section)?;
        let runs = read_runs(&section, &link)?;
        let hosts = forge_hosts::read(&section, &link, runs)?;
        let builtin = matches!(link, ToolLink::Builtin(_));
        let tool_timeout = if builtin {
            BUILTIN_TOOL_TIMEOUT
        } else {
            TOOL_TIMEOUT
        };
        Ok(Self {
            runs,
            startup_timeout: section
                .duration_sec("startup_timeout_sec")?
                .unwrap_or(STARTUP_TIMEOUT),
            tool_timeout: section
                .duration_sec("tool_timeout_sec")?
                .unwrap_or(tool_timeout),
            enabled_tools: section.strings("enabled_tools")?,
            disabled_tools: section.strings("disabled_tools")?.unwrap_or_default(),
            required: section
                .boolean("required")?
                .unwrap_or(builtin || !hosts.is_empty()),
            env: section.env("env")?,
            env_vars: read_env_vars(&section, runs)?,
            hosts,
            base_url: section.url("base_url", &["https", "http"])?,
            app: app::read(&section, &link)?,
            waits: ForgeWaits::read(&section, &link)?,
            link,
        })
    }
}

fn read_link(section: &Section<'_>) -> Result<ToolLink, ConfigError> {
    match section.one_of(LINKS)? {
        "builtin" => read_builtin(section),
        "command" => Ok(ToolLink::Command {
            command: section.program("command")?.unwrap_or_default(),
            args: section.strings("args")?.unwrap_or_default(),
            cwd: section.non_empty("cwd")?.map(PathBuf::from),
        }),
        "url" => read_url(section),
        _ => Ok(ToolLink::Library {
            library: section.path("library")?.unwrap_or_default(),
            sha256: section.sha256("sha256")?,
        }),
    }
}

fn read_url(section: &Section<'_>) -> Result<ToolLink, ConfigError> {
    let bearer_token_env_var = section.variable("bearer_token_env_var")?;
    let http_headers = section.headers("http_headers")?;
    let env_http_headers = section.env_headers("env_http_headers")?;
    let named_twice = env_http_headers.keys().find(|name| {
        let bearer = bearer_token_env_var.is_some() && name.eq_ignore_ascii_case("authorization");
        bearer
            || http_headers
                .keys()
                .any(|other| other.eq_ignore_ascii_case(name))
    });
    if let Some(name) = named_twice {
        let message = format!("the header `{name}` is set in two ways; remove one of them");
        return Err(section.error("env_http_headers", message));
    }
    Ok(ToolLink::Url {
        url: section.url("url", &["https", "http"])?.unwrap_or_default(),
        bearer_token_env_var,
        http_headers,
        env_http_headers,
    })
}

fn read_builtin(section: &Section<'_>) -> Result<ToolLink, ConfigError> {
    let name = section.string("builtin")?.unwrap_or_default();
    if BUILTIN.iter().any(|(known, _)| *known == name) {
        return Ok(ToolLink::Builtin(name));
    }
    let advice = nearest(&name, BUILTIN.iter().map(|(known, _)| *known));
    Err(section.error(
        "builtin",
        format!("there is no built-in tool server `{name}`; {advice}"),
    ))
}

fn read_runs(section: &Section<'_>, link: &ToolLink) -> Result<Runs, ConfigError> {
    let written = section.string("runs")?;
    let runs = match written.as_deref() {
        None => default_runs(link),
        Some("sandbox") => Runs::Sandbox,
        Some("host") => Runs::Host,
        Some(other) => {
            let advice = nearest(other, ["sandbox", "host"].into_iter());
            return Err(section.error("runs", format!("unknown side `{other}`; {advice}")));
        }
    };
    match wrong_side(link, runs) {
        Some(message) => Err(section.error("runs", message)),
        None => Ok(runs),
    }
}

fn default_runs(link: &ToolLink) -> Runs {
    match link {
        ToolLink::Builtin(_) | ToolLink::Command { .. } => Runs::Sandbox,
        ToolLink::Url { .. } | ToolLink::Library { .. } => Runs::Host,
    }
}

fn wrong_side(link: &ToolLink, runs: Runs) -> Option<String> {
    let only = match link {
        ToolLink::Builtin(name) => BUILTIN.iter().find(|(known, _)| known == name)?.1,
        ToolLink::Url { .. } | ToolLink::Library { .. } => Runs::Host,
        ToolLink::Command { .. } => return None,
    };
    match (only, runs) {
        (Runs::Sandbox, Runs::Host) => Some(
            "it works on the workspace, which the host never opens; write `runs = \"sandbox\"` \
             or remove the key"
                .to_owned(),
        ),
        (Runs::Host, Runs::Sandbox) => Some(format!(
            "{} on the host only; write `runs = \"host\"`",
            match link {
                ToolLink::Builtin(_) => "it holds a credential, so it runs",
                ToolLink::Library { .. } => "a library is loaded",
                _ => "an address is called",
            }
        )),
        _ => None,
    }
}

fn read_env_vars(section: &Section<'_>, runs: Runs) -> Result<Vec<String>, ConfigError> {
    let names = section.variables("env_vars")?;
    if runs == Runs::Sandbox && !names.is_empty() {
        return Err(section.error(
            "env_vars",
            "nothing of the host's environment enters the sandbox; write `runs = \"host\"`, \
             or set a value that is no secret in `env`",
        ));
    }
    Ok(names)
}

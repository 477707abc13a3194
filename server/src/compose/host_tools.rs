//! The tool servers that run on the host.

mod app;
mod http;
mod library;

use std::collections::BTreeMap;
use std::ffi::OsString;

use async_trait::async_trait;
use pullwright_core::config::{ToolConfig, ToolLink};
use pullwright_core::run::{BoundToken, HostTools};
use pullwright_core::tools::{ToolIo, ToolServerError};
use pullwright_github::{Accounts, GithubConfig, MissedDeliveries, Secret};
use pullwright_link::ChildCommand;
use pullwright_tool_kit::serve;
use tokio::task::JoinHandle;
use url::Url;

/// How many bytes may be under way between the run and an in-process tool server, each way.
const PIPE_BYTES: usize = 64 * 1024;

/// Where a caller's token comes from, as messages name it.
const CALLERS: &str = "the header X-Forge-Token";

/// Opens host rows: the built-in forge in this process, a command as a child, an address over HTTP, a
/// native library within this process.
#[derive(Default)]
pub(super) struct HostRows {
    /// What is known of the accounts at GitHub, which all runs share.
    pub(super) accounts: Accounts,
}

#[async_trait]
impl HostTools for HostRows {
    async fn open(
        &self,
        name: &str,
        row: &ToolConfig,
        token: Option<&BoundToken>,
    ) -> Result<ToolIo, ToolServerError> {
        match &row.link {
            ToolLink::Builtin(builtin) if builtin == "github" => {
                github(name, row, token, self.accounts.clone())
            }
            ToolLink::Builtin(builtin) => Err(unusable(
                name,
                format!("the built-in `{builtin}` runs in the sandbox only; leave `runs` out"),
            )),
            ToolLink::Command { command, args, cwd } => {
                let started = ChildCommand {
                    name: name.to_owned(),
                    program: command.into(),
                    args: args.iter().map(OsString::from).collect(),
                    env: environment(&row.env, &row.env_vars),
                    cwd: cwd.clone(),
                }
                .spawn();
                let process = started.map_err(|error| {
                    unusable(name, format!("cannot start `{command}`: {error}"))
                })?;
                Ok(ToolIo::bytes(process.stdout, process.stdin, process.guard))
            }
            ToolLink::Url { .. } => {
                let http = http::open(row).map_err(|reason| unusable(name, reason))?;
                Ok(ToolIo::Http(http))
            }
            ToolLink::Library { library, sha256 } => {
                let opened = library::open(name, library.clone(), sha256.clone()).await;
                opened.map_err(|reason| unusable(name, reason))
            }
        }
    }

    /// Only the built-in forge: a token given to another program would stand in its environment.
    fn takes_token(&self, row: &ToolConfig, origin: &str) -> bool {
        let is_ours = matches!(&row.link, ToolLink::Builtin(builtin) if builtin == "github");
        is_ours && github_place(row).is_ok_and(|place| is_same_origin(&place.origin, origin))
    }
}

/// The variables of a host child: `PATH`, so that it can be found and find others, those written in
/// the row, and those named in it. Nothing else of this process's environment is passed on.
pub(crate) fn environment(
    env: &BTreeMap<String, String>,
    env_vars: &[String],
) -> BTreeMap<OsString, OsString> {
    let named = env_vars.iter().map(String::as_str).chain(["PATH"]);
    let passed = named.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let written = env.iter().map(|(name, value)| (name.into(), value.into()));
    passed.chain(written).collect()
}

fn github(
    name: &str,
    row: &ToolConfig,
    token: Option<&BoundToken>,
    accounts: Accounts,
) -> Result<ToolIo, ToolServerError> {
    let mut config = github_config(row, token).map_err(|reason| unusable(name, reason))?;
    config.accounts = accounts;
    let server =
        pullwright_github::server(config).map_err(|error| unusable(name, error.to_string()))?;
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (read, write) = tokio::io::split(theirs);
    let task = tokio::spawn(async move {
        if let Err(error) = serve(server, read, write).await {
            tracing::warn!(%error, "the built-in forge stopped");
        }
    });
    let (read, write) = tokio::io::split(ours);
    Ok(ToolIo::bytes(read, write, AbortOnDrop(task)))
}

/// The deliveries of the App that a row names; `None` for a row that names none.
pub(crate) fn missed_deliveries(
    row: &ToolConfig,
    accounts: Accounts,
) -> Result<Option<MissedDeliveries>, String> {
    if row.app.is_none() {
        return Ok(None);
    }
    let mut config = github_config(row, None)?;
    config.accounts = accounts;
    MissedDeliveries::of(&config).map_err(|error| error.to_string())
}

/// As whom the forge works: with the caller's token if there is one for its host, else as the App, else with the
/// token in the first of `env_vars`.
fn github_config(row: &ToolConfig, token: Option<&BoundToken>) -> Result<GithubConfig, String> {
    let mut config = github_place(row)?;
    let limits = &mut config.limits;
    limits.request_timeout = row.waits.request.unwrap_or(limits.request_timeout);
    limits.longest_wait = row.waits.limit.unwrap_or(limits.longest_wait);
    if let Some(bound) = token.filter(|bound| is_same_origin(&config.origin, &bound.origin)) {
        config.token_env = CALLERS.to_owned();
        config.token = Some(Secret::new(bound.token.expose()));
        return Ok(config);
    }
    if let Some(variable) = row.env_vars.first() {
        config.token_env = variable.clone();
        let token = std::env::var(variable)
            .ok()
            .filter(|token| !token.is_empty());
        config.token = token.map(Secret::new);
    }
    config.app = row.app.as_ref().map(app::read).transpose()?;
    Ok(config)
}

/// Where GitHub is: the first of `hosts` is the git host, and `base_url` is the API's address; git is reached by the
/// same scheme as the API.
fn github_place(row: &ToolConfig) -> Result<GithubConfig, String> {
    let mut config = GithubConfig::default();
    if let Some(base_url) = &row.base_url {
        let parsed = Url::parse(base_url);
        config.api_url = parsed.map_err(|error| format!("`base_url` is not a URL: {error}"))?;
    }
    if let Some(host) = row.hosts.first() {
        config.origin = format!("{}://{host}", config.api_url.scheme());
    }
    Ok(config)
}

/// Whether both are the same scheme, host and port.
fn is_same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let origins = origin(one).zip(origin(other));
    origins.is_some_and(|(one, other)| one.is_tuple() && one == other)
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn unusable(name: &str, reason: String) -> ToolServerError {
    ToolServerError::Startup {
        name: name.to_owned(),
        reason,
    }
}

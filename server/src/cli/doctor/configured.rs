//! What the configuration asks for, and whether it is there.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use pullwright_core::config::{
    AppConfig, AppKey, Config, Runs, SandboxConfig, ToolConfig, ToolLink,
};
use pullwright_sandbox::machine::Finding;
use pullwright_sandbox::modal;

use crate::compose;
use crate::webhooks::WebhookSettings;

/// A name server that takes longer does not answer at all.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the `https` of a host without a port is.
const HTTPS_PORT: u16 = 443;

/// Opens the configured sandbox's host, as a server would.
pub(super) async fn sandbox(config: &Config, data_dir: &Path) -> Finding {
    let name = format!("sandbox `{}`", config.sandbox.kind.name());
    match compose::sandbox_host(config, data_dir).await {
        Err(error) => Finding::no(name, format!("{error:#}")),
        Ok(host) => match host.warning() {
            None => Finding::ok(name, "what the model runs is kept from this machine"),
            Some(warning) => Finding::partial(name, warning),
        },
    }
}

/// Tries Modal with the configured image, or the usual one.
pub(super) async fn modal(
    config: Option<&Config>,
    data_dir: &Path,
    executable: &Path,
) -> Vec<Finding> {
    let mut sandbox = config.map_or_else(SandboxConfig::default, |config| config.sandbox.clone());
    sandbox.modal.get_or_insert_default();
    let account = modal::Account::find(|name| std::env::var(name).ok());
    modal::diagnose(&sandbox, account, data_dir, executable).await
}

/// Whether the variables that hold secrets are set; never what they hold.
pub(super) fn keys(config: &Config) -> Vec<Finding> {
    let providers = config.providers.iter().filter_map(|(row, provider)| {
        let variables: Vec<String> = provider.link.variables().into_iter().cloned().collect();
        let name = format!("provider `{row}`");
        let first = config.agent.provider == *row;
        secrets(name, &variables, first)
    });
    let tools = config.tools.iter().filter_map(|(row, tool)| {
        let bearer = match &tool.link {
            ToolLink::Url {
                bearer_token_env_var,
                ..
            } => bearer_token_env_var.as_slice(),
            _ => &[],
        };
        let key = tool.app.as_ref().and_then(AppConfig::variable);
        let variables = [
            tool.env_vars.as_slice(),
            bearer,
            key.map_or(&[], std::slice::from_ref),
        ];
        let variables = variables.concat();
        secrets(format!("tool `{row}`"), &variables, tool.required)
    });
    let key_files = config
        .tools
        .iter()
        .filter_map(|(row, tool)| match &tool.app.as_ref()?.key {
            AppKey::File(file) => Some(key_file(row, file, tool.required)),
            AppKey::Variable(_) => None,
        });
    providers.chain(tools).chain(key_files).collect()
}

/// Whether the file with an App's private key can be read.
fn key_file(row: &str, file: &Path, needed: bool) -> Finding {
    let name = format!("tool `{row}`");
    let shown = file.display();
    match (File::open(file), needed) {
        (Ok(_), _) => return Finding::ok(name, format!("{shown} can be read")),
        (Err(error), true) => {
            Finding::no(name, format!("{shown}: {error}: runs that need it fail"))
        }
        (Err(error), false) => {
            Finding::partial(name, format!("{shown}: {error}: it cannot be used"))
        }
    }
    .remedy(format!(
        "put the App's private key into {shown}, readable for Pullwright"
    ))
}

/// Whether the webhooks that are configured can start runs.
pub(super) fn webhooks(config: &Config) -> Option<Finding> {
    const NAME: &str = "webhooks of GitHub";
    let github = config.webhooks.github.as_ref()?;
    let variable = |name: &str| std::env::var(name).ok();
    if let Err(error) = WebhookSettings::read(github, &config.server, variable) {
        return Some(Finding::no(
            NAME,
            format!("{error}: `serve` does not start"),
        ));
    }
    let is_forge = |row: &ToolConfig| {
        row.runs == Runs::Host && !matches!(&row.link, ToolLink::Builtin(name) if name != "github")
    };
    if !config.tools.values().any(is_forge) {
        let missing = Finding::partial(
            NAME,
            "no row of [tools] is a forge: deliveries start nothing",
        );
        return Some(
            missing.remedy("add [tools.github] with `builtin = \"github\"` and `runs = \"host\"`"),
        );
    }
    let unset = github.secret_env.iter();
    let unset = unset.filter(|name| variable(name).is_none_or(|value| value.trim().is_empty()));
    let unset: Vec<&str> = unset.map(String::as_str).collect();
    if !unset.is_empty() {
        let meaning = format!("{} is not set: what it signs is refused", unset.join(", "));
        return Some(
            Finding::partial(NAME, meaning).remedy("set it, or take it out of `secret_env`"),
        );
    }
    Some(Finding::ok(
        NAME,
        "signed deliveries to POST /webhooks/github start runs",
    ))
}

/// `None` where there is nothing to set.
fn secrets(name: String, variables: &[String], needed: bool) -> Option<Finding> {
    let is_set = |name: &String| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let missing: Vec<&str> = variables
        .iter()
        .filter(|variable| !is_set(variable))
        .map(String::as_str)
        .collect();
    if variables.is_empty() {
        return None;
    }
    if missing.is_empty() {
        return Some(Finding::ok(
            name,
            format!("{} is set", variables.join(", ")),
        ));
    }
    let missing = missing.join(", ");
    let found = match needed {
        true => Finding::no(
            name,
            format!("{missing} is not set: runs that need it fail"),
        ),
        false => Finding::partial(name, format!("{missing} is not set: it cannot be used")),
    };
    Some(found.remedy(format!("set {missing} where Pullwright starts")))
}

/// Whether the hosts of repositories are found.
pub(super) async fn hosts(config: &Config) -> Vec<Finding> {
    let hosts = &config.repositories.hosts;
    let found = hosts.iter().map(|host| async move {
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, look_up(host)).await;
        let name = format!("host {host}");
        match found {
            Ok(Ok(())) => Finding::ok(name, "repositories there are accepted"),
            Ok(Err(error)) => unreachable(name, &error.to_string()),
            Err(_) => unreachable(name, "the name server does not answer"),
        }
    });
    futures_util::future::join_all(found).await
}

async fn look_up(host: &str) -> std::io::Result<()> {
    let with_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let mut found = match with_port {
        true => tokio::net::lookup_host(host).await?.collect::<Vec<_>>(),
        false => tokio::net::lookup_host((host, HTTPS_PORT)).await?.collect(),
    };
    match found.pop() {
        Some(_) => Ok(()),
        None => Err(std::io::Error::other("it has no address")),
    }
}

fn unreachable(name: String, why: &str) -> Finding {
    Finding::partial(name, format!("its address is not found: {why}"))
        .remedy("check the network and its name server, or take it out of `[repositories] hosts`")
}

//! The git hosts of a forge: what binds a row of `[tools]`, and with it a token, to a code host.

use std::collections::BTreeMap;

use super::ConfigError;
use super::section::Section;
use super::tool::{self, Runs, ToolConfig, ToolLink};

const KEY: &str = "hosts";
const BASE_URL: &str = "base_url";

/// What the built-in forge serves if its row says nothing of hosts.
const GITHUB: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";

/// The hosts of a row; none for a tool server that is no forge.
pub(super) fn read(
    section: &Section<'_>,
    link: &ToolLink,
    runs: Runs,
) -> Result<Vec<String>, ConfigError> {
    let written = section.hosts(KEY)?;
    if runs == Runs::Sandbox && written.is_some() {
        let message = "a forge holds a token, so it runs on the host; write `runs = \"host\"`, or \
                       remove this key";
        return Err(section.error(KEY, message));
    }
    let hosts = written.map(|hosts| {
        hosts
            .iter()
            .map(|host| without_default_port(host))
            .collect()
    });
    let is_github = *link == ToolLink::Builtin("github".to_owned());
    match hosts {
        Some(hosts) if is_github => one(section, hosts),
        Some(hosts) => some(section, hosts),
        None if is_github => github(section),
        None => Ok(Vec::new()),
    }
}

/// Each host has one forge, since there must be no doubt which token a run is given.
pub(super) fn check(
    root: &Section<'_>,
    tools: &BTreeMap<String, ToolConfig>,
) -> Result<(), ConfigError> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, row) in tools {
        for host in &row.hosts {
            let Some(other) = taken.insert(host, name) else {
                continue;
            };
            let message = if other == name {
                format!("`{host}` is named twice")
            } else {
                format!(
                    "`{host}` is a host of [tools.{other}] already, and a host has one forge; \
                     remove it from one of them"
                )
            };
            return Err(row_section(root, tools, name)?.error(KEY, message));
        }
    }
    Ok(())
}

fn row_section<'d>(
    root: &Section<'d>,
    tools: &BTreeMap<String, ToolConfig>,
    name: &str,
) -> Result<Section<'d>, ConfigError> {
    let names: Vec<&str> = tools.keys().map(String::as_str).collect();
    root.section("tools", &names)?.section(name, tool::KEYS)
}

fn one(section: &Section<'_>, hosts: Vec<String>) -> Result<Vec<String>, ConfigError> {
    if hosts.len() > 1 {
        let message = "one row has the token of one GitHub; make a row for each host";
        return Err(section.error(KEY, message));
    }
    some(section, hosts)
}

fn some(section: &Section<'_>, hosts: Vec<String>) -> Result<Vec<String>, ConfigError> {
    if hosts.is_empty() {
        let message =
            "it names no host; name the git host that the forge serves, or remove this key";
        return Err(section.error(KEY, message));
    }
    Ok(hosts)
}

fn github(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let base_url = section.string(BASE_URL)?;
    if base_url.is_some_and(|url| url.trim_end_matches('/') != GITHUB_API) {
        let message = format!(
            "it is the API of another GitHub than {GITHUB}; name the host of its repositories in \
             `{KEY}`"
        );
        return Err(section.error(BASE_URL, message));
    }
    Ok(vec![GITHUB.to_owned()])
}

/// As a repository's URL is normalised.
fn without_default_port(host: &str) -> String {
    host.strip_suffix(":443").unwrap_or(host).to_owned()
}

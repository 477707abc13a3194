//! The command that opens a sandbox, before and after its placeholders are filled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use pullwright_core::config::CommandConfig;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;

use super::engine::CommandEngine;
use super::refused;
use crate::launch::{Launch, find_program};

/// What every template is given of the server's own environment.
const USUAL_VARIABLES: [&str; 2] = ["PATH", "HOME"];

/// What a person does about a command that cannot be started.
const REMEDY: &str = "correct `command` in `[sandbox]` of plugins.toml, or install the program";

/// The configured command.
pub(super) struct Template {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
    memory_mb: u64,
    tool_host: String,
    shares_workspace: bool,
    started: AtomicU64,
}

impl Template {
    pub(super) fn new(
        config: &CommandConfig,
        memory_mb: u64,
        tool_host: &Path,
    ) -> Result<Self, SandboxError> {
        let cwd = std::env::current_dir().map_err(|source| SandboxError::Io {
            what: "cannot see the server's own folder".to_owned(),
            source,
        })?;
        let template = Self {
            argv: config.argv.clone(),
            env: environment(&config.env_vars),
            cwd,
            memory_mb,
            tool_host: tool_host.to_string_lossy().into_owned(),
            shares_workspace: config.uses("workspace"),
            started: AtomicU64::new(0),
        };
        template.check_program()?;
        Ok(template)
    }

    pub(super) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    pub(super) fn shares_workspace(&self) -> bool {
        self.shares_workspace
    }

    /// Starts the command for a run.
    pub(super) async fn start(
        &self,
        run: &RunId,
        workspace: &Path,
    ) -> Result<CommandEngine, SandboxError> {
        let values = self.values(run, workspace)?;
        let launch = Launch {
            argv: self.argv.iter().map(|word| fill(word, &values)).collect(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            uid: None,
            // Rootless engines start helpers that raise their rights.
            may_gain_rights: true,
        };
        let child = launch.start().await.map_err(|error| match error {
            SandboxError::Spawn { program, source } => {
                refused(format!("cannot start `{program}`: {source}"), REMEDY)
            }
            other => other,
        })?;
        CommandEngine::new(child, self.program(), run)
    }

    /// Said when the server starts, and not in its first run.
    fn check_program(&self) -> Result<(), SandboxError> {
        let program = self.program();
        let path = self.env.get("PATH").map_or("", String::as_str);
        let found = find_program(
            &fill(program, &[("pullwright", self.tool_host.clone())]),
            path,
            &self.cwd,
        );
        match found.is_some_and(|found| found.is_file()) {
            true => Ok(()),
            false => {
                let reason = format!("there is no program `{program}` in the server's PATH");
                Err(refused(reason, REMEDY))
            }
        }
    }

    fn values(
        &self,
        run: &RunId,
        workspace: &Path,
    ) -> Result<[(&'static str, String); 7], SandboxError> {
        let Some(workspace) = workspace.to_str() else {
            let reason = format!("the path {} is not UTF-8", workspace.display());
            return Err(refused(reason, "choose another `[server] data_dir`"));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if run.0.is_empty() || !run.0.chars().all(plain) {
            let reason = format!("the run's id {:?} cannot be part of a command", run.0);
            return Err(refused(reason, "use letters, digits and dashes"));
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Ok([
            ("workspace", workspace.to_owned()),
            ("run", run.0.clone()),
            ("sandbox", format!("{run}-{number}")),
            ("memory_mb", self.memory_mb.to_string()),
            ("uid", rustix::process::geteuid().as_raw().to_string()),
            ("gid", rustix::process::getegid().as_raw().to_string()),
            ("pullwright", self.tool_host.clone()),
        ])
    }
}

/// Replaces each placeholder once: what a value holds is not looked at again.
fn fill(word: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = values.iter().find_map(|(name, value)| {
            let after = rest
                .strip_prefix('{')?
                .strip_prefix(name)?
                .strip_prefix('}')?;
            Some((value, after))
        });
        match known {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn environment(named: &[String]) -> BTreeMap<String, String> {
    let names = USUAL_VARIABLES
        .into_iter()
        .chain(named.iter().map(String::as_str));
    names
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let values = [("run", "{uid}".to_owned()), ("uid", "7".to_owned())];
        for (word, filled) in [
            ("{run}", "{uid}"),
            ("a{uid}b{uid}", "a7b7"),
            ("${HOME} {{uid}} {", "${HOME} {7} {"),
            ("{unknown} {uid", "{unknown} {uid"),
            ("", ""),
        ] {
            assert_eq!(fill(word, &values), filled);
        }
    }
}

//! The command template of a `command` sandbox.

use std::time::Duration;

use super::{SandboxKind, refuse_keys};
use crate::config::ConfigError;
use crate::config::section::{Section, nearest};

/// What a `command` sandbox is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// The program and its arguments, with placeholders.
    pub argv: Vec<String>,
    /// Names of variables to pass on from the server's own environment.
    pub env_vars: Vec<String>,
    /// The time it has until the sandbox answers, images fetched and all.
    pub startup_timeout: Duration,
}

/// The keys that only this kind has.
const OWN_KEYS: [&str; 3] = ["command", "env_vars", "startup_timeout_sec"];

/// What can stand in braces: the workspace's folder on this machine, the run's id, the same with a
/// number for each sandbox, `memory_mb`, the server's own user, group and program.
const PLACEHOLDERS: [&str; 7] = [
    "workspace",
    "run",
    "sandbox",
    "memory_mb",
    "uid",
    "gid",
    "pullwright",
];

/// An image may have to be fetched first.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(120);

impl CommandConfig {
    pub(super) fn read(
        section: &Section<'_>,
        network: &Section<'_>,
        kind: SandboxKind,
    ) -> Result<Option<Self>, ConfigError> {
        if kind != SandboxKind::Command {
            return refuse_keys(section, &OWN_KEYS, SandboxKind::Command, kind).map(|()| None);
        }
        let config = Self {
            argv: read_argv(section)?,
            env_vars: section.variables("env_vars")?,
            startup_timeout: section
                .duration_sec("startup_timeout_sec")?
                .unwrap_or(STARTUP_TIMEOUT),
        };
        check_limits(section, network, &config)?;
        Ok(Some(config))
    }

    /// Whether a placeholder is in the command.
    #[must_use]
    pub fn uses(&self, placeholder: &str) -> bool {
        let written = format!("{{{placeholder}}}");
        self.argv.iter().any(|word| word.contains(&written))
    }
}

fn read_argv(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(mut argv) = section.strings("command")? else {
        return Err(section.error(
            "command",
            "it is missing; write the words that start the sandbox, such as `[\"docker\", \"run\", \
             \"-i\", \"--rm\", \"IMAGE\", \"pullwright\", \"tool-host\", \"spawner\"]`",
        ));
    };
    let Some(program) = argv
        .first_mut()
        .filter(|program| !program.trim().is_empty())
    else {
        return Err(section.error("command", "it names no program"));
    };
    *program = section.resolve_program(std::mem::take(program));
    for word in &argv {
        check_placeholders(section, word)?;
    }
    Ok(argv)
}

/// Braces are common in commands, so only what looks like a slip of the pen is an error: the
/// workspace would be sent where it was meant to be shared.
fn check_placeholders(section: &Section<'_>, word: &str) -> Result<(), ConfigError> {
    for part in word.split('{').skip(1) {
        let Some((name, _)) = part.split_once('}') else {
            continue;
        };
        let advice = nearest(name, PLACEHOLDERS.into_iter());
        if !PLACEHOLDERS.contains(&name) && advice.starts_with("did you mean") {
            let message = format!("there is no placeholder `{name}`; {advice}");
            return Err(section.error("command", message));
        }
    }
    Ok(())
}

/// A limit that nothing keeps is an error, not a comfort.
fn check_limits(
    section: &Section<'_>,
    network: &Section<'_>,
    config: &CommandConfig,
) -> Result<(), ConfigError> {
    if network
        .hosts("allow")?
        .is_some_and(|allow| !allow.is_empty())
    {
        return Err(network.error(
            "allow",
            "the network of a `command` sandbox is what its command gives it; remove the key and \
             write the engine's own option into `command`",
        ));
    }
    if section.has("memory_mb") && !config.uses("memory_mb") {
        return Err(section.error(
            "memory_mb",
            "the command does not use it; write `{memory_mb}` where the engine takes the limit, such \
             as `--memory={memory_mb}m`",
        ));
    }
    Ok(())
}

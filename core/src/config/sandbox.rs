//! Where tool servers run.

mod command;

use super::ConfigError;
use super::section::{Section, nearest};

pub use command::CommandConfig;

/// Where tool servers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The kind; `local` if the file does not say.
    pub kind: SandboxKind,
    /// The memory of one sandbox, in megabytes.
    pub memory_mb: u64,
    /// What it may reach.
    pub network: NetworkConfig,
    /// What a `command` sandbox is started with; absent for every other kind.
    pub command: Option<CommandConfig>,
}

/// A kind of sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxKind {
    /// Namespaces and filters of this machine's kernel.
    Local,
    /// A Modal sandbox.
    Modal,
    /// Whatever a command template starts.
    Command,
    /// A child process and nothing more; must be asked for by name.
    None,
}

/// What a sandbox may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The hosts; empty for no network.
    pub allow: Vec<String>,
}

const KEYS: &[&str] = &[
    "kind",
    "memory_mb",
    "network",
    "command",
    "env_vars",
    "startup_timeout_sec",
];

const KINDS: [SandboxKind; 4] = [
    SandboxKind::Local,
    SandboxKind::Modal,
    SandboxKind::Command,
    SandboxKind::None,
];

impl SandboxConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("sandbox", KEYS)?;
        let network = section.section("network", &["allow"])?;
        let kind = read_kind(&section)?;
        Ok(Self {
            kind,
            memory_mb: section.integer("memory_mb", 64..=1 << 24)?.unwrap_or(4096),
            network: NetworkConfig {
                allow: network.hosts("allow")?.unwrap_or_default(),
            },
            command: CommandConfig::read(&section, &network, kind)?,
        })
    }
}

impl SandboxKind {
    /// The kind, as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Modal => "modal",
            Self::Command => "command",
            Self::None => "none",
        }
    }
}

fn read_kind(section: &Section<'_>) -> Result<SandboxKind, ConfigError> {
    let Some(name) = section.string("kind")? else {
        return Ok(SandboxKind::Local);
    };
    let kind = KINDS.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| {
        let advice = nearest(&name, KINDS.into_iter().map(SandboxKind::name));
        section.error("kind", format!("there is no sandbox `{name}`; {advice}"))
    })
}

//! Where tool servers run.

mod command;
mod local;
pub(super) mod modal;

use super::ConfigError;
use super::section::{Section, nearest};

pub use command::CommandConfig;
pub use local::LocalConfig;
pub use modal::ModalConfig;

/// Where tool servers run.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxConfig {
    /// The kind; `local` if the file does not say.
    pub kind: SandboxKind,
    /// The memory of one sandbox, in megabytes.
    pub memory_mb: u64,
    /// What it may reach.
    pub network: NetworkConfig,
    /// The limits and the view of a `local` sandbox; the usual ones for every other kind.
    pub local: LocalConfig,
    /// What a `command` sandbox is started with; absent for every other kind.
    pub command: Option<CommandConfig>,
    /// What a `modal` sandbox is made from; absent for every other kind.
    pub modal: Option<ModalConfig>,
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
    /// Those of them that may have an address in a private network, or on this machine.
    pub private: Vec<String>,
}

pub(super) const KEYS: &[&str] = &[
    "kind",
    "memory_mb",
    "network",
    "command",
    "env_vars",
    "startup_timeout_sec",
    "processes",
    "cpus",
    "disk_mb",
    "file_mb",
    "tmp_mb",
    "open_files",
    "read_only",
    "path",
    "modal",
];

pub(super) const NETWORK_KEYS: &[&str] = &["allow", "private"];

const KINDS: [SandboxKind; 4] = [
    SandboxKind::Local,
    SandboxKind::Modal,
    SandboxKind::Command,
    SandboxKind::None,
];

impl Default for SandboxConfig {
    /// The sandbox of a file that says nothing of it.
    fn default() -> Self {
        Self {
            kind: SandboxKind::Local,
            memory_mb: 4096,
            network: NetworkConfig::default(),
            local: LocalConfig::default(),
            command: None,
            modal: None,
        }
    }
}

impl SandboxConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("sandbox", KEYS)?;
        let network = section.section("network", NETWORK_KEYS)?;
        let kind = read_kind(&section)?;
        Ok(Self {
            kind,
            memory_mb: section
                .integer("memory_mb", 64..=1 << 24)?
                .unwrap_or(Self::default().memory_mb),
            network: NetworkConfig {
                allow: network.hosts("allow")?.unwrap_or_default(),
                private: read_private(&network, kind)?,
            },
            local: LocalConfig::read(&section, kind)?,
            command: CommandConfig::read(&section, &network, kind)?,
            modal: ModalConfig::read(&section, kind)?,
        })
    }

    /// A sandbox must live for as long as its run may take.
    pub(super) fn check_lifetime(
        &self,
        root: &Section<'_>,
        max_minutes: f64,
    ) -> Result<(), ConfigError> {
        match &self.modal {
            Some(modal) => modal.check_lifetime(&root.section("sandbox", KEYS)?, max_minutes),
            None => Ok(()),
        }
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

/// Keys of one kind say nothing in another, and must not look as if they did.
fn refuse_keys(
    section: &Section<'_>,
    keys: &[&str],
    of: SandboxKind,
    kind: SandboxKind,
) -> Result<(), ConfigError> {
    match keys.iter().find(|key| section.has(key)) {
        Some(key) => {
            let (of, kind) = (of.name(), kind.name());
            let message = format!("it goes with `kind = \"{of}\"`, not with `{kind}`");
            Err(section.error(key, message))
        }
        None => Ok(()),
    }
}

fn read_private(network: &Section<'_>, kind: SandboxKind) -> Result<Vec<String>, ConfigError> {
    if kind != SandboxKind::Local {
        refuse_keys(network, &["private"], SandboxKind::Local, kind)?;
    }
    Ok(network.hosts("private")?.unwrap_or_default())
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

//! Where tool servers run.
//!
//! One file per kind of sandbox, each behind `pullwright_core::sandbox`. A kind that this machine
//! or this version cannot open is refused with the reason and the remedy; nothing here ever falls
//! back to a weaker kind.

#[cfg(target_os = "linux")]
pub mod cgroup;
pub mod command;
mod confine;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod egress;
mod handover;
mod harden;
mod launch;
mod launcher_thread;
mod loan;
#[cfg(target_os = "linux")]
pub mod local;
pub mod machine;
pub mod modal;
pub mod none;
mod process;
pub mod spawner;
mod sweep;
mod tool_host;
mod users;

use std::path::Path;
use std::sync::Arc;

use pullwright_core::config::{SandboxConfig, SandboxKind};
use pullwright_core::sandbox::{SandboxError, SandboxHost};

pub use command::CommandHost;
pub use harden::{harden_server, make_non_dumpable};
pub use loan::Loan;
#[cfg(target_os = "linux")]
pub use local::LocalHost;
pub use machine::Machine;
pub use modal::ModalHost;
pub use none::NoneHost;

/// The variable by which a run's processes are found again.
const RUN_VARIABLE: &str = "PULLWRIGHT_RUN";
/// The variable by which the processes of one spawn are found again.
const SPAWN_VARIABLE: &str = "PULLWRIGHT_SPAWN";

/// Opens the host of the configured kind. `data_dir` is the server's own folder, and `tool_host`
/// the program that runs Pullwright's tool host, usually the running executable.
///
/// # Errors
/// The kind cannot be opened on this machine or in this version.
pub fn open_host(
    config: &SandboxConfig,
    data_dir: &Path,
    tool_host: &Path,
) -> Result<Arc<dyn SandboxHost>, SandboxError> {
    match config.kind {
        SandboxKind::Local => local_host(config, data_dir, tool_host),
        SandboxKind::Command => Ok(Arc::new(CommandHost::new(config, tool_host)?)),
        SandboxKind::None => Ok(Arc::new(NoneHost::new(data_dir, tool_host)?)),
        SandboxKind::Modal => Ok(Arc::new(modal_host(config, data_dir, tool_host)?)),
    }
}

#[cfg(target_os = "linux")]
fn local_host(
    config: &SandboxConfig,
    data_dir: &Path,
    tool_host: &Path,
) -> Result<Arc<dyn SandboxHost>, SandboxError> {
    Ok(Arc::new(LocalHost::new(config, data_dir, tool_host)?))
}

#[cfg(not(target_os = "linux"))]
fn local_host(
    config: &SandboxConfig,
    _: &Path,
    _: &Path,
) -> Result<Arc<dyn SandboxHost>, SandboxError> {
    Err(SandboxError::Refused {
        kind: config.kind.name(),
        reason: "it needs namespaces of the Linux kernel".to_owned(),
        remedy: "write `kind = \"command\"` with a container engine in `[sandbox]`, `kind = \
                 \"modal\"`, or `kind = \"none\"` if the repositories and the model are trusted \
                 with this machine, and read what that voids"
            .to_owned(),
    })
}

fn modal_host(
    config: &SandboxConfig,
    data_dir: &Path,
    tool_host: &Path,
) -> Result<ModalHost, SandboxError> {
    let account = modal::Account::find(|name| std::env::var(name).ok());
    let account = account.map_err(|error| modal::ModalError::from(error).into_sandbox_error())?;
    ModalHost::new(config, account, data_dir, tool_host)
}

/// Opens a `local` sandbox as usual and closes it again.
///
/// # Errors
/// This machine refuses it, with the remedy.
pub async fn try_local(data_dir: &Path, tool_host: &Path) -> Result<(), SandboxError> {
    let host = local_host(&SandboxConfig::default(), data_dir, tool_host)?;
    host.check().await
}

/// Looks at this machine: what it gives a sandbox, and what it does not. `tried` is what came of
/// [`try_local`].
#[must_use]
pub fn probe_machine(data_dir: &Path, tried: &Result<(), SandboxError>) -> Machine {
    let user_namespace = || match tried {
        Ok(()) => Ok(()),
        Err(error) => Err(std::io::Error::other(error.to_string())),
    };
    #[cfg(target_os = "linux")]
    let landlock_abi: Option<&dyn Fn() -> Option<u32>> = Some(&local::landlock_abi);
    #[cfg(not(target_os = "linux"))]
    let landlock_abi = None;
    let trials = machine::Trials {
        user_namespace: Some(&user_namespace),
        landlock_abi,
    };
    Machine::probe(data_dir, &trials)
}

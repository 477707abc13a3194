//! Where tool servers run.
//!
//! One file per kind of sandbox, each behind `pullwright_core::sandbox`. A kind that this machine
//! or this version cannot open is refused with the reason and the remedy; nothing here ever falls
//! back to a weaker kind.

mod confine;
mod harden;
mod launcher_thread;
#[cfg(target_os = "linux")]
pub mod local;
pub mod none;

use std::path::Path;
use std::sync::Arc;

use pullwright_core::config::{SandboxConfig, SandboxKind};
use pullwright_core::sandbox::{SandboxError, SandboxHost};

pub use harden::harden_server;
pub use none::NoneHost;

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
        SandboxKind::None => Ok(Arc::new(NoneHost::new(data_dir, tool_host)?)),
        kind => Err(SandboxError::Refused {
            kind: kind.name(),
            reason: "it is not in this version".to_owned(),
            remedy: "write `kind = \"none\"` in `[sandbox]` if the repositories and the model are \
                     trusted with this machine, and read what that voids"
                .to_owned(),
        }),
    }
}

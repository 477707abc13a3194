//! Opens `local` sandboxes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{
    Opening, Sandbox, SandboxError, SandboxHandle, SandboxHost, SandboxNotice,
};
use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::KIND;
use super::client::Launcher;
use super::folders::Folders;
use super::sandbox::{LocalSandbox, Parts};
use super::toolchains::{Surroundings, Toolchains};
use crate::cgroup::Cgroups;
use crate::handover::{self, io_error};
use crate::tool_host;
use crate::users::Slot;

/// Opens `local` sandboxes.
pub struct LocalHost {
    shared: Arc<Shared>,
}

/// What all sandboxes of a host share.
pub(super) struct Shared {
    pub(super) config: SandboxConfig,
    pub(super) data_dir: PathBuf,
    pub(super) launcher: Launcher,
    /// The executable that is shown inside as the tool host.
    pub(super) tool_host: PathBuf,
    pub(super) toolchains: Toolchains,
    pub(super) cgroups: Cgroups,
}

/// What finds a sandbox again. Its processes die with the server; its folders stay.
#[derive(Serialize, Deserialize)]
pub(super) struct Handle {
    pub(super) run: RunId,
    pub(super) workspace: PathBuf,
    pub(super) uid: Option<u32>,
}

impl LocalHost {
    /// A host that keeps its folders in `data_dir`. `executable` is both its launcher and the tool
    /// host inside.
    ///
    /// What an earlier server of this machine left behind is given back.
    ///
    /// # Errors
    /// The executable cannot be shown to the sandbox's user, or a configured path is missing.
    pub fn new(
        config: &SandboxConfig,
        data_dir: &Path,
        executable: &Path,
    ) -> Result<Self, SandboxError> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(io_error("cannot find the data folder", data_dir))?;
        let surroundings = Surroundings::own();
        let local = &config.local;
        for path in local.read_only.iter().chain(&local.path) {
            check_exists(path)?;
        }
        let mut toolchains = Toolchains::find(&local.path, &local.read_only, &surroundings);
        // Whatever is beside a program, the server's own folder is no part of it.
        toolchains
            .read_only
            .retain(|shown| !data_dir.starts_with(&shown.source));
        let cgroups = Cgroups::detect(&Cgroups::lock_folder(&data_dir));
        handover::go_on_removing(&data_dir.join(KIND));
        let swept = cgroups.sweep();
        tracing::debug!(?swept, "looked for control groups of ended servers");
        let tool_host = match surroundings.other_user {
            true => tool_host::readable(executable, &data_dir)?,
            false => executable.to_owned(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                config: config.clone(),
                tool_host,
                data_dir,
                launcher: Launcher::new(executable),
                toolchains,
                cgroups,
            }),
        })
    }
}

#[async_trait]
impl SandboxHost for LocalHost {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn warning(&self) -> Option<String> {
        let holds = self.shared.cgroups.holds();
        let mut warnings = Vec::new();
        if !holds.memory {
            let text = "memory is limited per process only, since this machine gives the server no \
                        control group; `pullwright doctor` says how it would";
            warnings.push(text.to_owned());
        }
        if !self.shared.toolchains.unreadable.is_empty() {
            let folders = self.shared.toolchains.unreadable.iter();
            let folders: Vec<_> = folders.map(|folder| folder.display().to_string()).collect();
            warnings.push(format!(
                "not in the sandbox's PATH, since its user cannot read them: {}",
                folders.join(", ")
            ));
        }
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    /// Makes a sandbox around an empty folder.
    async fn check(&self) -> Result<(), SandboxError> {
        let folder = self.shared.data_dir.join(KIND);
        let name = format!("check-{}", std::process::id());
        let checkout = folder.join(&name).join("workspace");
        std::fs::create_dir_all(&checkout).map_err(io_error("cannot make", &checkout))?;
        let opening = Opening {
            warm: None,
            run: &RunId(name),
            checkout: &checkout,
            notices: mpsc::channel(1).0,
        };
        self.open(opening).await?.close().await
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (run, checkout) = (opening.run.clone(), opening.checkout.to_owned());
        let shared = Arc::clone(&self.shared);
        // Handing over touches each file, too long for an async thread.
        let folders = blocking(move || {
            let workspace = std::path::absolute(&checkout)
                .map_err(io_error("cannot find the checkout", &checkout))?;
            let slot = match rustix::process::geteuid().is_root() {
                true => Some(Slot::free(KIND, &workspace)?),
                false => None,
            };
            if let Some(slot) = &slot {
                handover::lend(KIND, &workspace, slot.uid())?;
            }
            Folders::prepare(&shared.data_dir, &run, &workspace, slot)
        });
        self.start(opening.run.clone(), folders.await?, opening.notices)
            .await
    }

    /// The processes of an earlier sandbox died with its server; a new one opens around its folders.
    async fn attach(
        &self,
        handle: &SandboxHandle,
        notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        if handle.kind != KIND {
            let reason = format!("the handle is one of the `{}` sandbox", handle.kind);
            return Err(SandboxError::Lost { kind: KIND, reason });
        }
        let handle: Handle = serde_json::from_value(handle.data.clone()).map_err(|error| {
            let reason = format!("the handle cannot be read: {error}");
            SandboxError::Lost { kind: KIND, reason }
        })?;
        let shared = Arc::clone(&self.shared);
        let run = handle.run.clone();
        let folders = blocking(move || {
            let uid = handle.uid;
            let slot = uid.map(|uid| Slot::again(KIND, uid, &handle.workspace));
            Folders::prepare(
                &shared.data_dir,
                &handle.run,
                &handle.workspace,
                slot.transpose()?,
            )
        });
        self.start(run, folders.await?, notices).await
    }
}

impl LocalHost {
    async fn start(
        &self,
        run: RunId,
        folders: Folders,
        notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let folders = Arc::new(folders);
        let parts = Parts {
            run,
            folders: Arc::clone(&folders),
            notices,
            shared: Arc::clone(&self.shared),
        };
        match LocalSandbox::start(parts).await {
            Ok(sandbox) => Ok(Arc::new(sandbox)),
            Err(error) => {
                // What is said of it later would hide why it was refused.
                if let Err(kept) = blocking(move || folders.take_back()).await {
                    tracing::warn!(%kept, "the folders of a refused sandbox were not given back");
                }
                Err(error)
            }
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SandboxError::Io {
        what: "preparing the sandbox's folders broke off".to_owned(),
        source: std::io::Error::other(error),
    })?
}

fn check_exists(path: &Path) -> Result<(), SandboxError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(error) => Err(SandboxError::Refused {
            kind: KIND,
            reason: format!("{} cannot be shown inside: {error}", path.display()),
            remedy: "correct `[sandbox] read_only` or `path` in plugins.toml".to_owned(),
        }),
    }
}

//! `none`: a child process with an environment of its own, and nothing more.
//!
//! Where the server is root, each run gets a user of its own, which keeps runs apart from each
//! other and from the server's files, and makes it possible to kill everything a run started.
//! Network and resources are not limited, and every file that all users may read can be read.

mod folders;
mod guard;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use pullwright_core::sandbox::{
    Opening, Sandbox, SandboxCommand, SandboxError, SandboxHandle, SandboxHost, SandboxNotice,
    SandboxProcess,
};
use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use folders::Folders;
use guard::Guard;

use crate::handover::{self, io_error};
use crate::launch::Launch;
use crate::process;
use crate::sweep::{self, Marker, Suspects};
use crate::tool_host;
use crate::users::Slot;
use crate::{RUN_VARIABLE, SPAWN_VARIABLE};

/// The name of this kind.
const KIND: &str = "none";

/// Opens `none` sandboxes.
pub struct NoneHost {
    data_dir: PathBuf,
    tool_host: PathBuf,
    search: folders::Search,
}

/// What finds a sandbox again.
#[derive(Serialize, Deserialize)]
struct Handle {
    run: RunId,
    workspace: PathBuf,
    uid: Option<u32>,
}

struct NoneSandbox {
    run: RunId,
    folders: Folders,
    tool_host: PathBuf,
    search: folders::Search,
    /// Dropped before the slot, so that the user is empty when the slot is free again.
    guard: std::sync::Mutex<Option<Guard>>,
    slot: Option<Slot>,
    spawned: AtomicU64,
    closed: AtomicBool,
}

impl NoneHost {
    /// A host that keeps its folders in `data_dir` and starts `tool_host` inside.
    ///
    /// # Errors
    /// The tool host cannot be put where the sandbox's users can start it.
    pub fn new(data_dir: &Path, tool_host: &Path) -> Result<Self, SandboxError> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(io_error("cannot find the data folder", data_dir))?;
        handover::go_on_removing(&data_dir.join(KIND));
        let separate = runs_as_root();
        let tool_host = match separate {
            true => tool_host::publish(KIND, tool_host, &data_dir)?,
            false => tool_host.to_owned(),
        };
        Ok(Self {
            search: folders::Search::new(separate),
            data_dir,
            tool_host,
        })
    }

    fn open_with(
        &self,
        run: &RunId,
        workspace: &Path,
        slot: Option<Slot>,
    ) -> Result<NoneSandbox, SandboxError> {
        let user = slot.as_ref().map(Slot::uid);
        let folders = Folders::prepare(&self.data_dir, run, workspace, user)?;
        let guard = user.map(Guard::start).transpose().unwrap_or_else(|error| {
            tracing::warn!(%run, %error, "no guard: processes may outlive a crash of the server");
            None
        });
        Ok(NoneSandbox {
            run: run.clone(),
            folders,
            tool_host: self.tool_host.clone(),
            search: self.search.clone(),
            guard: std::sync::Mutex::new(guard),
            slot,
            spawned: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    fn attach_to(&self, handle: &Handle) -> Result<NoneSandbox, SandboxError> {
        let found = handle.workspace.symlink_metadata();
        if !found.is_ok_and(|found| found.is_dir()) {
            return Err(lost(format!(
                "{} is no longer there",
                handle.workspace.display()
            )));
        }
        let slot = handle
            .uid
            .map(|uid| Slot::again(KIND, uid, &handle.workspace))
            .transpose()?;
        sweep_run(&handle.run, slot.as_ref())?;
        self.open_with(&handle.run, &handle.workspace, slot)
    }
}

#[async_trait]
impl SandboxHost for NoneHost {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn warning(&self) -> Option<String> {
        let user = match runs_as_root() {
            true => "each run has a user of its own, but reads every file open to all users",
            false => {
                "it runs as the server's own user: it can read and change all of that user's \
                 files, other runs included, and a process that hides can outlive the run"
            }
        };
        let mut warning = format!(
            "sandbox `none` isolates nothing: the model's commands reach the network, there is no \
             limit on memory, disk or processes, and {user}; use it only for repositories and \
             models you trust with this machine"
        );
        if !self.search.unreachable.is_empty() {
            let folders = self.search.unreachable.join(", ");
            warning += &format!("; not in its PATH, since its users cannot enter them: {folders}");
        }
        Some(warning)
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (run, checkout) = (opening.run.clone(), opening.checkout.to_owned());
        self.blocking(move |host| {
            let workspace = std::path::absolute(&checkout)
                .map_err(io_error("cannot find the checkout", &checkout))?;
            let slot = match runs_as_root() {
                true => Some(Slot::free(KIND, &workspace)?),
                false => None,
            };
            if let Some(slot) = &slot {
                handover::give(KIND, &workspace, slot.uid())?;
            }
            host.open_with(&run, &workspace, slot)
        })
        .await
    }

    async fn attach(
        &self,
        handle: &SandboxHandle,
        _notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        if handle.kind != KIND {
            return Err(lost(format!(
                "the handle is one of the `{}` sandbox",
                handle.kind
            )));
        }
        let handle: Handle = serde_json::from_value(handle.data.clone())
            .map_err(|error| lost(format!("the handle cannot be read: {error}")))?;
        self.blocking(move |host| host.attach_to(&handle)).await
    }
}

impl NoneHost {
    /// Preparing a workspace touches each of its files, too long for an async thread.
    async fn blocking(
        &self,
        open: impl FnOnce(&Self) -> Result<NoneSandbox, SandboxError> + Send + 'static,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let host = Self {
            data_dir: self.data_dir.clone(),
            tool_host: self.tool_host.clone(),
            search: self.search.clone(),
        };
        let opened = tokio::task::spawn_blocking(move || open(&host)).await;
        let sandbox = opened.map_err(|error| lost(format!("opening it broke off: {error}")))??;
        Ok(Arc::new(sandbox))
    }
}

#[async_trait]
impl Sandbox for NoneSandbox {
    fn workspace(&self) -> &Path {
        &self.folders.workspace
    }

    fn tool_host(&self) -> &Path {
        &self.tool_host
    }

    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(lost("it is closed".to_owned()));
        }
        let spawn = self.spawned.fetch_add(1, Ordering::Relaxed);
        let marker = Marker::new(SPAWN_VARIABLE, &format!("{}-{spawn}", self.run));
        let cwd = self
            .folders
            .workspace
            .join(command.cwd.as_deref().unwrap_or(Path::new("")));
        let uid = self.slot.as_ref().map(Slot::uid);
        let launch = Launch {
            env: self.environment(&marker, command.env),
            argv: command.argv,
            cwd,
            uid,
            may_gain_rights: false,
        };
        let suspects = Suspects::User(uid.unwrap_or_else(own_user));
        process::start(launch, marker, suspects).await
    }

    fn handle(&self) -> SandboxHandle {
        let handle = Handle {
            run: self.run.clone(),
            workspace: self.folders.workspace.clone(),
            uid: self.slot.as_ref().map(Slot::uid),
        };
        SandboxHandle {
            kind: KIND.to_owned(),
            data: serde_json::to_value(handle).unwrap_or_default(),
        }
    }

    async fn leave(&self) -> Result<(), SandboxError> {
        self.end(|_| Ok(())).await
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.end(Folders::give_back).await?;
        self.slot.as_ref().map_or(Ok(()), Slot::forget)
    }
}

impl NoneSandbox {
    /// Ends every process, and then does something with the folders.
    async fn end(
        &self,
        then: impl FnOnce(&Folders) -> Result<(), SandboxError> + Send + 'static,
    ) -> Result<(), SandboxError> {
        self.closed.store(true, Ordering::Release);
        let guard = self.guard.lock().map(|mut guard| guard.take());
        let guard = guard.unwrap_or_else(|poisoned| poisoned.into_inner().take());
        let (run, folders) = (self.run.clone(), self.folders.clone());
        let uid = self.slot.as_ref().map(Slot::uid);
        let ended = tokio::task::spawn_blocking(move || {
            // Its shell is swept too, and then waited for, also where something is left.
            let swept = sweep_processes(&run, uid);
            drop(guard);
            swept?;
            then(&folders)
        });
        let ended = ended.await;
        ended.map_err(|error| lost(format!("closing it broke off: {error}")))?
    }

    /// The whole environment of a process inside: the sandbox's own, then the command's.
    fn environment(
        &self,
        marker: &Marker,
        added: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), self.search.path.clone()),
            ("HOME".to_owned(), shown(&self.folders.home)),
            ("TMPDIR".to_owned(), shown(&self.folders.tmp)),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("USER".to_owned(), "pullwright".to_owned()),
            ("LOGNAME".to_owned(), "pullwright".to_owned()),
        ]);
        if let Some(rustup_home) = &self.search.rustup_home {
            env.insert("RUSTUP_HOME".to_owned(), shown(rustup_home));
        }
        env.extend(added);
        env.insert(RUN_VARIABLE.to_owned(), self.run.to_string());
        env.insert(marker.name().to_owned(), marker.value().to_owned());
        env
    }
}

fn sweep_run(run: &RunId, slot: Option<&Slot>) -> Result<(), SandboxError> {
    sweep_processes(run, slot.map(Slot::uid))
}

fn sweep_processes(run: &RunId, uid: Option<u32>) -> Result<(), SandboxError> {
    let swept = match uid {
        Some(uid) => sweep::user(uid),
        None => sweep::marked(
            &Marker::new(RUN_VARIABLE, &run.to_string()),
            Suspects::User(own_user()),
        ),
    };
    swept.map_err(|source| SandboxError::Io {
        what: format!("cannot kill every process of run {run}"),
        source,
    })
}

fn runs_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn lost(reason: String) -> SandboxError {
    SandboxError::Lost { kind: KIND, reason }
}

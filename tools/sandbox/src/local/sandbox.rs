//! One open `local` sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::sandbox::{
    Sandbox, SandboxCommand, SandboxError, SandboxHandle, SandboxNotice, SandboxProcess,
};
use pullwright_protocol::RunId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::KIND;
use super::client::{InnerCommand, LocalInit};
use super::folders::Folders;
use super::host::{Handle, Shared, blocking};
use super::network::{Network, PROXY_PORT};
use super::plan::{HOME, Limits, Plan, ReadOnly, WORKSPACE};
use crate::RUN_VARIABLE;
use crate::cgroup::{Cgroup, CgroupLimits, Holds};

/// Where the tool host is inside.
const TOOL_HOST: &str = "/opt/pullwright/pullwright";

/// The host name inside.
const HOST_NAME: &str = "sandbox";

/// `/dev/shm`, which is in memory.
const SHM_BYTES: u64 = 64 << 20;

/// How often is looked whether the kernel ended a process for want of memory.
const MEMORY_LOOK: Duration = Duration::from_secs(2);

/// Processes of our own inside, besides those that are limited: process 1, a supervisor for each
/// command of the server, and the look at the disk.
const OWN_PROCESSES: u64 = 64;

const MB: u64 = 1 << 20;

/// What a sandbox is made of.
pub(super) struct Parts {
    pub(super) run: RunId,
    pub(super) folders: Arc<Folders>,
    pub(super) notices: mpsc::Sender<SandboxNotice>,
    pub(super) shared: Arc<Shared>,
}

/// An open sandbox.
pub(super) struct LocalSandbox {
    run: RunId,
    init: LocalInit,
    network: Mutex<Option<Network>>,
    memory: Arc<Memory>,
    memory_watch: JoinHandle<()>,
    shared: Arc<Shared>,
    /// Last, so that nothing runs as the user any more when the next run gets it.
    folders: Arc<Folders>,
}

impl LocalSandbox {
    pub(super) async fn start(parts: Parts) -> Result<Self, SandboxError> {
        let Parts {
            run,
            folders,
            notices,
            shared,
        } = parts;
        let (for_cgroup, name) = (Arc::clone(&shared), run.clone());
        let cgroup = blocking(move || make_cgroup(&for_cgroup, &name)).await?;
        let plan = plan(&shared, &folders, cgroup.as_ref());
        let init = shared.launcher.open(&plan).await?;
        let network = match init.proxy_listener() {
            Some(listener) => {
                let config = &shared.config.network;
                Some(Network::open(listener, config, notices.clone())?)
            }
            None => None,
        };
        let memory = Arc::new(Memory {
            cgroup: Mutex::new(cgroup),
            megabytes: shared.config.memory_mb,
            told: AtomicU64::new(0),
            notices,
        });
        Ok(Self {
            run,
            init,
            network: Mutex::new(network),
            memory_watch: tokio::spawn(Memory::watch(Arc::clone(&memory))),
            memory,
            shared,
            folders,
        })
    }

    fn environment(&self, added: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let toolchains = &self.shared.toolchains;
        let fixed = [
            ("PATH", toolchains.path.as_str()),
            ("HOME", HOME),
            ("TMPDIR", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("USER", "pullwright"),
            ("LOGNAME", "pullwright"),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut environment = BTreeMap::from(fixed);
        environment.extend(toolchains.env.clone());
        environment.extend(Network::environment());
        environment.extend(added);
        environment.insert(RUN_VARIABLE.to_owned(), self.run.to_string());
        environment
    }
}

#[async_trait]
impl Sandbox for LocalSandbox {
    fn workspace(&self) -> &Path {
        Path::new(WORKSPACE)
    }

    fn tool_host(&self) -> &Path {
        Path::new(TOOL_HOST)
    }

    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError> {
        let cwd = command.cwd.as_deref().unwrap_or(Path::new(""));
        let inner = InnerCommand {
            argv: command.argv,
            env: self.environment(command.env),
            cwd: Path::new(WORKSPACE).join(cwd),
        };
        self.init.spawn(inner).await
    }

    async fn allow(&self, hosts: &[String]) -> Result<(), SandboxError> {
        match lock(&self.network).as_ref() {
            Some(network) => network.allow(hosts),
            None => Err(SandboxError::Lost {
                kind: KIND,
                reason: "it is closed".to_owned(),
            }),
        }
    }

    fn lost(&self) -> Option<SandboxError> {
        self.init.lost()
    }

    fn handle(&self) -> SandboxHandle {
        let handle = Handle {
            run: self.run.clone(),
            workspace: self.folders.workspace.clone(),
            uid: self.folders.uid(),
        };
        SandboxHandle {
            kind: KIND.to_owned(),
            data: serde_json::to_value(handle).unwrap_or_default(),
        }
    }

    async fn leave(&self) -> Result<(), SandboxError> {
        self.end().await
    }

    async fn close(&self) -> Result<(), SandboxError> {
        // Nobody else may get the user while a process of theirs is left.
        self.end().await?;
        let folders = Arc::clone(&self.folders);
        blocking(move || folders.give_back()).await
    }
}

impl LocalSandbox {
    /// Ends every process. Each step is taken whatever became of the one before.
    async fn end(&self) -> Result<(), SandboxError> {
        let network = lock(&self.network).take();
        if let Some(network) = network {
            network.close().await;
        }
        let ended = self.init.close().await;
        self.memory_watch.abort();
        self.memory.look().await;
        let cgroup = lock(&self.memory.cgroup).take();
        let removed = blocking(move || cgroup.map_or(Ok(()), Cgroup::remove)).await;
        ended.and(removed)
    }
}

impl Drop for LocalSandbox {
    fn drop(&mut self) {
        self.memory_watch.abort();
    }
}

fn make_cgroup(shared: &Shared, run: &RunId) -> Result<Option<Cgroup>, SandboxError> {
    if shared.cgroups.holds() == Holds::default() {
        return Ok(None);
    }
    let limits = CgroupLimits {
        memory_bytes: Some(shared.config.memory_mb * MB),
        processes: Some(shared.config.local.processes + OWN_PROCESSES),
        cpus: shared.config.local.cpus,
    };
    // Another server of this machine may be stuck with the run, and have one for it.
    let name = format!("{run}-{}", std::process::id());
    shared.cgroups.create(&name, &limits).map(Some)
}

fn plan(shared: &Shared, folders: &Folders, cgroup: Option<&Cgroup>) -> Plan {
    let holds = cgroup.map(Cgroup::holds).unwrap_or_default();
    let config = &shared.config;
    let local = &config.local;
    let memory_bytes = config.memory_mb * MB;
    let mut read_only = shared.toolchains.read_only.clone();
    read_only.push(ReadOnly {
        source: shared.tool_host.clone(),
        target: TOOL_HOST.into(),
    });
    Plan {
        workspace: folders.workspace.clone(),
        home: folders.home.clone(),
        read_only,
        user: folders.uid(),
        cgroup_procs: cgroup.map(Cgroup::procs_files).unwrap_or_default(),
        limits: Limits {
            // What is in memory is not freed by ending processes, so it must leave some.
            tmp_bytes: (local.tmp_mb * MB).min(memory_bytes / 2),
            shm_bytes: SHM_BYTES.min(memory_bytes / 4),
            processes: local.processes,
            open_files: local.open_files,
            file_bytes: local.file_mb * MB,
            disk_bytes: local.disk_mb * MB,
            memory_bytes: (!holds.memory).then_some(memory_bytes),
        },
        hostname: HOST_NAME.to_owned(),
        proxy_port: Some(PROXY_PORT),
    }
}

/// Tells when a process was ended for want of memory: what is seen inside is a signal, and no
/// reason.
struct Memory {
    /// Gone once the sandbox is closed.
    cgroup: Mutex<Option<Cgroup>>,
    megabytes: u64,
    told: AtomicU64,
    notices: mpsc::Sender<SandboxNotice>,
}

impl Memory {
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(MEMORY_LOOK).await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let killed = lock(&self.cgroup).as_ref().and_then(Cgroup::oom_kills);
        let killed = killed.unwrap_or(0);
        if killed <= self.told.swap(killed, Ordering::Relaxed) {
            return;
        }
        let message = format!(
            "the sandbox ran out of memory ({} MB), and the kernel ended a process; raise \
             `[sandbox] memory_mb` in plugins.toml if the work needs more",
            self.megabytes
        );
        // A run that has ended needs no warning.
        let _ = self.notices.send(SandboxNotice::Warning(message)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

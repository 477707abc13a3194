//! Sandboxes: each one is a `local` sandbox of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox, SandboxCommand, SandboxHost, SandboxProcess,
};
use pullwright_protocol::RunId;
use pullwright_sandbox::LocalHost;
use pullwright_sandbox::local::{HOME, WORKSPACE};
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::network_access::NetworkAccessType;
use pullwright_sandbox::modal::wire::client::{
    GenericResult, NetworkAccess, SandboxCreateV2Request, SandboxTag,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::images::Known;
use crate::processes::Processes;

/// Where clients of ours put our executable.
const TOOL_HOST: &str = "/usr/local/bin/pullwright";

pub(crate) struct Machines {
    host: LocalHost,
    folder: TempDir,
    all: Mutex<BTreeMap<String, Arc<Machine>>>,
}

/// A sandbox.
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) app_id: String,
    pub(crate) image_id: String,
    pub(crate) tags: Mutex<Vec<SandboxTag>>,
    pub(crate) created_at: f64,
    pub(crate) processes: Processes,
    sandbox: Arc<dyn Sandbox>,
    has_tool_host: bool,
    result: watch::Sender<Option<GenericResult>>,
}

impl Machines {
    pub(crate) fn new(pullwright: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = LocalHost::new(&SandboxConfig::default(), folder.path(), pullwright)?;
        Ok(Self {
            host,
            folder,
            all: Mutex::default(),
        })
    }

    /// A sandbox with nothing in it, for the lines of a dockerfile.
    pub(crate) async fn scratch(&self) -> Result<Arc<dyn Sandbox>, Status> {
        self.open(&format!("build-{}", uuid::Uuid::new_v4().simple()))
            .await
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Sandbox>, Status> {
        let checkout: PathBuf = self.folder.path().join("workspaces").join(name);
        std::fs::create_dir_all(&checkout).map_err(|error| Status::internal(error.to_string()))?;
        let opening = Opening {
            warm: None,
            run: &RunId(name.to_owned()),
            checkout: &checkout,
            notices: mpsc::channel(1).0,
        };
        let opened = self.host.open(opening).await;
        opened.map_err(|error| Status::internal(error.to_string()))
    }

    pub(crate) async fn create(
        &self,
        request: SandboxCreateV2Request,
        image: &Known,
    ) -> Result<Arc<Machine>, Status> {
        let definition = request.definition.unwrap_or_default();
        let name = uuid::Uuid::new_v4().simple().to_string();
        let sandbox = self.open(&name).await?;
        let machine = Arc::new(Machine {
            id: format!("sb-v2-{name}"),
            task_id: format!("ta-{name}V"),
            app_id: request.app_id,
            image_id: definition.image_id,
            tags: Mutex::new(request.tags),
            created_at: now(),
            processes: Processes::default(),
            sandbox,
            has_tool_host: image.files.iter().any(|file| file == TOOL_HOST),
            result: watch::channel(None).0,
        });
        if let Some(access) = &definition.network_access {
            machine.set_network(access).await?;
        }
        if let Some(archive) = &image.archive {
            machine.unpack(archive).await?;
        }
        if !definition.entrypoint_args.is_empty() {
            let process = machine.spawn(definition.entrypoint_args, BTreeMap::new(), None);
            tokio::spawn(Arc::clone(&machine).follow(process.await?));
        }
        let timeout = Duration::from_secs(u64::from(definition.timeout_secs.max(1)));
        tokio::spawn(Arc::clone(&machine).time_out(timeout));
        if let Some(seconds) = definition.idle_timeout_secs {
            let limit = Duration::from_secs(u64::from(seconds));
            tokio::spawn(Arc::clone(&machine).idle_out(limit));
        }
        self.lock().insert(machine.id.clone(), Arc::clone(&machine));
        Ok(machine)
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Machine>, Status> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no sandbox {id}")))
    }

    pub(crate) fn find_task(&self, id: &str) -> Result<Arc<Machine>, Status> {
        let found = self.lock().values().find(|one| one.task_id == id).cloned();
        let found = found.ok_or_else(|| Status::not_found(format!("there is no task {id}")))?;
        match found.ended() {
            Some(_) => Err(Status::not_found(format!("the task {id} has ended"))),
            None => Ok(found),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Machine>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn alive(&self) -> usize {
        let all = self.lock();
        all.values().filter(|one| one.ended().is_none()).count()
    }

    pub(crate) async fn lose_all(&self) {
        for machine in self.all() {
            machine.end(GenericStatus::InternalFailure, 0).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Machine>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    /// Starts a process.
    pub(crate) async fn spawn(
        &self,
        mut argv: Vec<String>,
        env: BTreeMap<String, String>,
        cwd: Option<String>,
    ) -> Result<SandboxProcess, Status> {
        if let Some(program) = argv.first_mut()
            && self.has_tool_host
            && program == TOOL_HOST
        {
            *program = self.sandbox.tool_host().to_string_lossy().into_owned();
        }
        let command = SandboxCommand {
            argv,
            env,
            cwd: cwd.map(PathBuf::from),
        };
        let spawned = self.sandbox.spawn(command).await;
        spawned.map_err(|error| Status::invalid_argument(error.to_string()))
    }

    pub(crate) async fn set_network(&self, access: &NetworkAccess) -> Result<(), Status> {
        let hosts = match access.network_access_type() {
            NetworkAccessType::Allowlist => access.allowed_domains.clone(),
            // What is open there stays closed on this machine.
            _ => Vec::new(),
        };
        let allowed = self.sandbox.allow(&hosts).await;
        allowed.map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<GenericResult> {
        self.result.borrow().clone()
    }

    /// What is in the folders that can be written.
    pub(crate) async fn archive(&self) -> Result<Vec<u8>, Status> {
        let mut process = self.tar(&["-cf", "-"]).await?;
        let mut archive = Vec::new();
        let read = process.stdout.read_to_end(&mut archive).await;
        read.map_err(|error| Status::internal(error.to_string()))?;
        Ok(archive)
    }

    async fn unpack(&self, archive: &[u8]) -> Result<(), Status> {
        let mut process = self.tar(&["-xf", "-"]).await?;
        let written = async {
            process.stdin.write_all(archive).await?;
            process.stdin.shutdown().await
        };
        written
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        match process.exit.await {
            Ok(ProcessExit::Code(0)) => Ok(()),
            how => Err(Status::internal(format!("unpacking ended as {how:?}"))),
        }
    }

    async fn tar(&self, how: &[&str]) -> Result<SandboxProcess, Status> {
        let folders = ["-C", "/", &WORKSPACE[1..], &HOME[1..]];
        let words = ["tar"].iter().chain(how).chain(&folders);
        let argv = words.map(|word| (*word).to_owned()).collect();
        self.spawn(argv, BTreeMap::new(), None).await
    }

    pub(crate) fn lived_nanoseconds(&self) -> u64 {
        let lived = Duration::try_from_secs_f64(now() - self.created_at);
        let nanoseconds = lived.unwrap_or_default().as_nanos();
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    /// Waits for its end, for as long as `limit`.
    pub(crate) async fn wait(&self, limit: Duration) -> Option<GenericResult> {
        let mut result = self.result.subscribe();
        let ended = tokio::time::timeout(limit, result.wait_for(Option::is_some)).await;
        ended.ok()?.ok()?.clone()
    }

    /// Ends it, unless it has ended; the first reason counts.
    pub(crate) async fn end(&self, status: GenericStatus, exitcode: i32) {
        let result = GenericResult {
            status: status.into(),
            exitcode,
            ..GenericResult::default()
        };
        let is_first = self.result.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(result);
            is_first
        });
        if is_first {
            let _ = self.sandbox.close().await;
        }
    }

    async fn follow(self: Arc<Self>, process: SandboxProcess) {
        match process.exit.await {
            Ok(ProcessExit::Code(0)) => self.end(GenericStatus::Success, 0).await,
            Ok(ProcessExit::Code(code)) => self.end(GenericStatus::Failure, code).await,
            _ => self.end(GenericStatus::Terminated, 0).await,
        }
    }

    async fn time_out(self: Arc<Self>, limit: Duration) {
        if self.wait(limit).await.is_none() {
            self.end(GenericStatus::Timeout, 0).await;
        }
    }

    async fn idle_out(self: Arc<Self>, limit: Duration) {
        let mut result = self.result.subscribe();
        let is_idle = tokio::select! {
            () = self.processes.idle_for(limit) => true,
            _ = result.wait_for(Option::is_some) => false,
        };
        if is_idle {
            self.end(GenericStatus::IdleTimeout, 0).await;
        }
    }
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

//! One sandbox: a `local` sandbox of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pullwright_core::sandbox::{ProcessExit, Sandbox, SandboxCommand, SandboxProcess};
use pullwright_sandbox::local::{HOME, WORKSPACE};
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::network_access::NetworkAccessType;
use pullwright_sandbox::modal::wire::client::{
    GenericResult, NetworkAccess, SandboxCreateV2Request, SandboxTag,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tonic::Status;

use crate::images::Known;
use crate::processes::Processes;
use crate::tasks::Tasks;

/// Where clients of ours put our executable.
const TOOL_HOST: &str = "/usr/local/bin/pullwright";

/// The longest that one may be there.
const MAX_TIMEOUT_SECS: u32 = 24 * 3600;

/// A sandbox.
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) app_id: String,
    /// The environment that it and its app are in.
    pub(crate) environment: String,
    /// What its maker shows on calls about it, where that is given out.
    pub(crate) token: Option<String>,
    pub(crate) image_id: String,
    pub(crate) tags: Mutex<Vec<SandboxTag>>,
    pub(crate) created_at: f64,
    pub(crate) processes: Processes,
    sandbox: Arc<dyn Sandbox>,
    has_tool_host: bool,
    /// What it was allowed to reach, in order.
    networks: Mutex<Vec<NetworkAccess>>,
    result: watch::Sender<Option<GenericResult>>,
    /// Whether a machine was found for it.
    is_scheduled: watch::Sender<bool>,
}

/// What a sandbox is to be.
pub(crate) struct Order {
    pub(crate) request: SandboxCreateV2Request,
    pub(crate) image: Known,
    pub(crate) environment: String,
    pub(crate) has_token: bool,
}

impl Machine {
    /// Makes of an empty `sandbox` the one that is asked for.
    pub(crate) async fn begin(
        tasks: &Tasks,
        name: &str,
        sandbox: Arc<dyn Sandbox>,
        order: Order,
    ) -> Result<Arc<Self>, Status> {
        let Order { request, image, .. } = order;
        let definition = request.definition.unwrap_or_default();
        if definition.timeout_secs > MAX_TIMEOUT_SECS {
            let why = "a sandbox may be there for 24 hours at most";
            return Err(Status::invalid_argument(why));
        }
        let token = || uuid::Uuid::new_v4().to_string();
        let machine = Arc::new(Self {
            id: format!("sb-v2-{name}"),
            task_id: format!("ta-{name}V"),
            app_id: request.app_id,
            environment: order.environment,
            token: order.has_token.then(token),
            image_id: definition.image_id,
            tags: Mutex::new(request.tags),
            created_at: now(),
            processes: Processes::default(),
            sandbox,
            has_tool_host: image.files.iter().any(|file| file == TOOL_HOST),
            networks: Mutex::default(),
            result: watch::channel(None).0,
            is_scheduled: watch::channel(false).0,
        });
        machine.set_network(definition.network_access).await?;
        if let Some(archive) = &image.archive {
            machine.unpack(archive).await?;
        }
        if !definition.entrypoint_args.is_empty() {
            let process = machine.spawn(definition.entrypoint_args, BTreeMap::new(), None);
            tasks.spawn(Arc::clone(&machine).follow(process.await?));
        }
        let timeout = Duration::from_secs(u64::from(definition.timeout_secs.max(1)));
        tasks.spawn(Arc::clone(&machine).time_out(timeout));
        if let Some(seconds) = definition.idle_timeout_secs {
            let limit = Duration::from_secs(u64::from(seconds));
            tasks.spawn(Arc::clone(&machine).idle_out(limit));
        }
        Ok(machine)
    }

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

    /// Lets it reach what is said. Where nothing is, the real one opens the whole network, which nobody
    /// may mean.
    pub(crate) async fn set_network(&self, access: Option<NetworkAccess>) -> Result<(), Status> {
        let hosts = match access.as_ref().map(NetworkAccess::network_access_type) {
            None | Some(NetworkAccessType::Unspecified) => {
                return Err(Status::invalid_argument("no network access is said"));
            }
            Some(NetworkAccessType::Allowlist) => access
                .iter()
                .flat_map(|access| access.allowed_domains.clone())
                .collect(),
            // What is open there stays closed on this machine.
            Some(NetworkAccessType::Open | NetworkAccessType::Blocked) => Vec::new(),
        };
        let allowed = self.sandbox.allow(&hosts).await;
        allowed.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.lock_networks().extend(access);
        Ok(())
    }

    /// What it was allowed to reach, in order.
    pub(crate) fn networks(&self) -> Vec<NetworkAccess> {
        self.lock_networks().clone()
    }

    fn lock_networks(&self) -> MutexGuard<'_, Vec<NetworkAccess>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets its task be known.
    pub(crate) fn schedule(&self) {
        self.is_scheduled.send_replace(true);
    }

    /// Whether a machine was found for it.
    pub(crate) fn is_scheduled(&self) -> bool {
        *self.is_scheduled.borrow()
    }

    /// Waits until a machine is found for it or it has ended, for as long as `limit`.
    pub(crate) async fn scheduled(&self, limit: Duration) {
        let mut is_scheduled = self.is_scheduled.subscribe();
        tokio::select! {
            _ = is_scheduled.wait_for(|is_so| *is_so) => {}
            _ = self.wait(limit) => {}
        }
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

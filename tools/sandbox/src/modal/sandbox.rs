//! One sandbox at Modal, and the spawner in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox, SandboxCommand, SandboxError, SandboxHandle, SandboxNotice,
    SandboxProcess,
};
use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::Code;

use super::control::Control;
use super::error::ModalError;
use super::exec::{Exec, Start};
use super::records::{Record, Records};
use super::router::Router;
use super::warm::{WarmImages, WarmName};
use super::wire::client::generic_result::GenericStatus;
use super::wire::client::sandbox_get_command_router_access_request::Target;
use super::wire::client::{
    CommandRouterAccess, GenericResult, SandboxCreateV2Response,
    SandboxGetCommandRouterAccessRequest, SandboxGetResourceUsageRequest, SandboxGetTaskIdRequest,
    SandboxTerminateRequest, SandboxWaitRequest,
};
use super::wire::task_command_router::{
    TaskSetNetworkAccessRequest, TaskSnapshotFilesystemRequest,
};
use super::{KIND, TOOL_HOST, WORKSPACE, access};
use crate::spawner::{self, Engine, Input, Opened, Output, Session};

/// How long Modal may look for a machine.
const SCHEDULE_TIMEOUT: Duration = Duration::from_secs(310);

/// How long an old spawner may take to end what it started, before a new one is started beside it.
const OLD_SPAWNER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long what an earlier run left may take to be removed.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(120);

/// What finds a sandbox again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Handle {
    pub(super) run: RunId,
    pub(super) sandbox_id: String,
    task_id: String,
    /// The spawner's process.
    exec_id: String,
}

/// An open sandbox.
pub(super) struct ModalSandbox {
    control: Arc<Control>,
    router: Arc<Router>,
    handle: Handle,
    workspace: PathBuf,
    tool_host: PathBuf,
    session: Session,
    /// Gone once the sandbox is.
    record: Mutex<Option<Record>>,
    /// Who is told what it has used; nobody where it was found again.
    notices: Option<mpsc::Sender<SandboxNotice>>,
    warmth: Warmth,
}

/// What the sandbox has to do with setups of earlier and later runs.
enum Warmth {
    /// Nothing.
    None,
    /// It was opened with what one has made.
    Warm,
    /// What is made in it may be kept.
    Keeps(WarmName, Arc<WarmImages>),
}

impl ModalSandbox {
    /// Goes on from a sandbox that Modal has made, and ends it where that fails.
    pub(super) async fn begin(
        control: Arc<Control>,
        made: SandboxCreateV2Response,
        opening: &Opening<'_>,
        is_warm: bool,
        startup_timeout: Duration,
    ) -> Result<Self, ModalError> {
        let (ending, sandbox_id) = (Arc::clone(&control), made.sandbox_id.clone());
        let unfinished = Unfinished::new(&control, &sandbox_id);
        let begun = Self::begin_in(control, made, opening, is_warm, startup_timeout).await;
        if begun.is_err() {
            terminate(&ending, &sandbox_id).await;
        }
        unfinished.finish();
        begun
    }

    async fn begin_in(
        control: Arc<Control>,
        made: SandboxCreateV2Response,
        opening: &Opening<'_>,
        is_warm: bool,
        startup_timeout: Duration,
    ) -> Result<Self, ModalError> {
        if let Some(result) = made.metadata.and_then(|metadata| metadata.result)
            && result.status() != GenericStatus::Unspecified
        {
            return Err(ModalError::Ended(said(&result)));
        }
        let sandbox_id = made.sandbox_id;
        let task_id = match made.task_id.as_str() {
            "" => task_id(&control, &sandbox_id).await?,
            known => known.to_owned(),
        };
        let access = match made.command_router_access {
            Some(access) => access,
            None => router_access(&control, &sandbox_id).await?,
        };
        let router = Router::new(Arc::clone(&control), sandbox_id.clone(), task_id, &access)?;
        let (router, run) = (Arc::new(router), opening.run.clone());
        let upload = Some(opening.checkout);
        let (exec_id, opened) = start(&router, &run, upload, startup_timeout).await?;
        let sandbox = Self::new(control, router, sandbox_id, run, exec_id, opened);
        if is_warm {
            sandbox.remove_leftovers().await?;
        }
        Ok(Self {
            notices: Some(opening.notices.clone()),
            ..sandbox
        })
    }

    /// Finds a sandbox of an earlier server, and starts processes in it anew.
    pub(super) async fn find(
        control: Arc<Control>,
        old: Handle,
        startup_timeout: Duration,
    ) -> Result<Self, ModalError> {
        if let Some(result) = ended(&control, &old.sandbox_id).await? {
            return Err(ModalError::Ended(said(&result)));
        }
        let access = router_access(&control, &old.sandbox_id).await?;
        let router = Router::new(
            Arc::clone(&control),
            old.sandbox_id.clone(),
            old.task_id,
            &access,
        )?;
        let router = Arc::new(router);
        end_spawner(&router, &old.exec_id).await;
        let (exec_id, opened) = start(&router, &old.run, None, startup_timeout).await?;
        Ok(Self::new(
            control,
            router,
            old.sandbox_id,
            old.run,
            exec_id,
            opened,
        ))
    }

    fn new(
        control: Arc<Control>,
        router: Arc<Router>,
        sandbox_id: String,
        run: RunId,
        exec_id: String,
        opened: Opened,
    ) -> Self {
        Self {
            handle: Handle {
                run,
                sandbox_id,
                task_id: router.task_id.clone(),
                exec_id,
            },
            control,
            router,
            workspace: opened.workspace,
            tool_host: opened.tool_host,
            session: opened.session,
            record: Mutex::new(None),
            notices: None,
            warmth: Warmth::None,
        }
    }

    /// The sandbox, opened with what an earlier setup has made.
    pub(super) fn warm(self) -> Self {
        Self {
            warmth: Warmth::Warm,
            ..self
        }
    }

    /// The sandbox, of which what setup makes is to be kept.
    pub(super) fn keeping(self, name: WarmName, images: Arc<WarmImages>) -> Self {
        Self {
            warmth: Warmth::Keeps(name, images),
            ..self
        }
    }

    /// Removes what an earlier run's base had and this one's has not. What git ignores is what setup made.
    async fn remove_leftovers(&self) -> Result<(), ModalError> {
        let argv = ["git", "-c", "safe.directory=*", "clean", "-ffdq"];
        let command = SandboxCommand {
            argv: argv.map(str::to_owned).to_vec(),
            ..SandboxCommand::default()
        };
        let ended = |reason: String| ModalError::Ended(reason);
        let process = self.session.spawn(command).await;
        let process = process.map_err(|error| ended(error.to_string()))?;
        let exit = tokio::time::timeout(CLEAN_TIMEOUT, process.exit).await;
        match exit {
            Ok(Ok(ProcessExit::Code(0))) => Ok(()),
            how => Err(ended(format!(
                "what an earlier run left cannot be removed: {how:?}"
            ))),
        }
    }

    /// Says what Modal will write on its bill, where Modal knows it.
    async fn tell_usage(&self) {
        let Some(notices) = &self.notices else {
            return;
        };
        let request = SandboxGetResourceUsageRequest {
            sandbox_id: self.handle.sandbox_id.clone(),
        };
        let used = self.control.call(
            "SandboxGetResourceUsage",
            request,
            |mut client, request| async move { client.sandbox_get_resource_usage(request).await },
        );
        match used.await {
            Ok(used) => {
                let seconds = |nanoseconds: u64| nanoseconds / 1_000_000_000;
                let message = format!(
                    "the sandbox at Modal used {} core-seconds and {} GiB-seconds of memory",
                    seconds(used.cpu_core_nanosecs),
                    seconds(used.mem_gib_nanosecs)
                );
                // The run may have stopped to listen.
                let _ = notices.try_send(SandboxNotice::Progress(message));
            }
            Err(error) => tracing::info!(%error, "Modal does not say what a sandbox used"),
        }
    }

    /// Writes down that it is ours, so that it is ended even where this server is not there to do it.
    pub(super) fn written_down(self, records: &Records) -> Self {
        let record = records.keep(&self.handle);
        let record = record.inspect_err(|error| {
            tracing::warn!(%error, "a sandbox at Modal cannot be written down; it ends by its timeout");
        });
        Self {
            record: Mutex::new(record.ok()),
            ..self
        }
    }
}

#[async_trait]
impl Sandbox for ModalSandbox {
    fn workspace(&self) -> &Path {
        &self.workspace
    }

    fn tool_host(&self) -> &Path {
        &self.tool_host
    }

    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError> {
        self.session.spawn(command).await
    }

    async fn allow(&self, hosts: &[String]) -> Result<(), SandboxError> {
        let request = TaskSetNetworkAccessRequest {
            task_id: self.router.task_id.clone(),
            network_access: Some(access(hosts)),
        };
        let set = self.router.call(
            "TaskSetNetworkAccess",
            request,
            |mut client, request| async move { client.task_set_network_access(request).await },
        );
        set.await
            .map(|_| ())
            .map_err(ModalError::into_sandbox_error)
    }

    fn is_warm(&self) -> bool {
        matches!(self.warmth, Warmth::Warm)
    }

    async fn keep_warm(&self) -> Result<(), SandboxError> {
        let Warmth::Keeps(name, images) = &self.warmth else {
            return Ok(());
        };
        let Some(lifetime) = images.lifetime() else {
            return Ok(());
        };
        let request = TaskSnapshotFilesystemRequest {
            task_id: self.router.task_id.clone(),
            snapshot_id: uuid::Uuid::new_v4().to_string(),
            ttl_seconds: i64::try_from(lifetime.as_secs()).ok(),
        };
        let made = self.router.call(
            "TaskSnapshotFilesystem",
            request,
            |mut client, request| async move { client.task_snapshot_filesystem(request).await },
        );
        let made = made.await.map_err(ModalError::into_sandbox_error)?;
        let noted = images.note(name, made.image_id);
        noted.map_err(|source| SandboxError::Io {
            what: "cannot note the image of a warm start".to_owned(),
            source,
        })
    }

    fn lost(&self) -> Option<SandboxError> {
        let reason = self.session.failure()?;
        Some(SandboxError::Lost { kind: KIND, reason })
    }

    fn handle(&self) -> SandboxHandle {
        SandboxHandle {
            kind: KIND.to_owned(),
            data: serde_json::to_value(&self.handle).unwrap_or_default(),
        }
    }

    async fn close(&self) -> Result<(), SandboxError> {
        // Ending the sandbox ends its processes; asking them first lets them end well.
        let asked = self.session.close().await;
        self.tell_usage().await;
        let is_ended = terminate(&self.control, &self.handle.sandbox_id).await;
        let record = self
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(record) = record.filter(|_| is_ended) {
            record.remove();
        }
        asked
    }
}

/// A sandbox that was made and is not open yet. Dropping it ends the sandbox: the run may have been
/// cancelled meanwhile.
struct Unfinished(Option<(Arc<Control>, String)>);

impl Unfinished {
    fn new(control: &Arc<Control>, sandbox_id: &str) -> Self {
        Self(Some((Arc::clone(control), sandbox_id.to_owned())))
    }

    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some((control, sandbox_id)), Ok(runtime)) = (self.0.take(), runtime) {
            runtime.spawn(async move { terminate(&control, &sandbox_id).await });
        }
    }
}

/// The spawner, as Modal started it.
struct ModalEngine {
    exec: Exec,
}

#[async_trait]
impl Engine for ModalEngine {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn take_stream(&mut self) -> Result<(Input, Output), SandboxError> {
        self.exec.take_stream().ok_or_else(|| SandboxError::Lost {
            kind: KIND,
            reason: "its stream was taken before".to_owned(),
        })
    }

    async fn end(&mut self, grace: Duration) -> String {
        self.exec.end(grace).await
    }

    fn remedy_for_silence(&self) -> &'static str {
        "raise `startup_timeout_sec` in `[sandbox.modal]` if the image is large"
    }

    fn remedy_for_another(&self) -> &'static str {
        "put a static executable of the same version into `[sandbox.modal] tool_host`; `pullwright \
         doctor --modal` tries it"
    }
}

/// Starts a spawner, and sends it `checkout` unless the workspace is there.
async fn start(
    router: &Arc<Router>,
    run: &RunId,
    checkout: Option<&Path>,
    startup_timeout: Duration,
) -> Result<(String, Opened), ModalError> {
    let argv = [TOOL_HOST, "tool-host", "spawner", "--workspace", WORKSPACE];
    let exec = Exec::start(
        Arc::clone(router),
        Start {
            argv: argv.map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
        },
    );
    let exec = exec.await?;
    let id = exec.id.clone();
    let opened = spawner::open(
        Box::new(ModalEngine { exec }),
        run,
        checkout,
        startup_timeout,
    )
    .await;
    let opened = opened.map_err(|error| ModalError::Ended(error.to_string()))?;
    Ok((id, opened))
}

/// Ends an earlier server's spawner, and with it all that it started.
async fn end_spawner(router: &Router, exec_id: &str) {
    if let Err(error) = Exec::close_input(router, exec_id).await {
        tracing::info!(%error, "the earlier spawner is gone");
        return;
    }
    Exec::wait_for(router, exec_id, OLD_SPAWNER_TIMEOUT).await;
}

async fn task_id(control: &Control, sandbox_id: &str) -> Result<String, ModalError> {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < SCHEDULE_TIMEOUT {
        let request = SandboxGetTaskIdRequest {
            sandbox_id: sandbox_id.to_owned(),
            timeout: Some(10.0),
            ..SandboxGetTaskIdRequest::default()
        };
        let found = control.call(
            "SandboxGetTaskIdV2",
            request,
            |mut client, request| async move { client.sandbox_get_task_id_v2(request).await },
        );
        let found = found.await?;
        if let Some(result) = found.task_result {
            return Err(ModalError::Ended(said(&result)));
        }
        if let Some(id) = found.task_id.filter(|id| !id.is_empty()) {
            return Ok(id);
        }
    }
    Err(ModalError::Ended(
        "Sandbox was not scheduled within the timeout.".to_owned(),
    ))
}

async fn router_access(
    control: &Control,
    sandbox_id: &str,
) -> Result<CommandRouterAccess, ModalError> {
    let request = SandboxGetCommandRouterAccessRequest {
        target: Some(Target::SandboxId(sandbox_id.to_owned())),
    };
    let answer = control.call(
        "SandboxGetCommandRouterAccess",
        request,
        |mut client, request| async move { client.sandbox_get_command_router_access(request).await },
    );
    let answer = answer.await?;
    Ok(CommandRouterAccess {
        jwt: answer.jwt,
        url: answer.url,
    })
}

/// How a sandbox ended, if it has.
async fn ended(control: &Control, sandbox_id: &str) -> Result<Option<GenericResult>, ModalError> {
    let request = SandboxWaitRequest {
        sandbox_id: sandbox_id.to_owned(),
        timeout: 0.0,
    };
    let answer = control.call("SandboxWaitV2", request, |mut client, request| async move {
        client.sandbox_wait_v2(request).await
    });
    let result = answer.await?.result;
    Ok(result.filter(|result| result.status() != GenericStatus::Unspecified))
}

/// Ends a sandbox and says whether it is gone: one that cannot be ended now is tried again by the next
/// server, or ends by its timeout.
pub(super) async fn terminate(control: &Control, sandbox_id: &str) -> bool {
    let request = SandboxTerminateRequest {
        sandbox_id: sandbox_id.to_owned(),
    };
    let ended = control.call(
        "SandboxTerminateV2",
        request,
        |mut client, request| async move { client.sandbox_terminate_v2(request).await },
    );
    match ended.await {
        Ok(_) => true,
        Err(ModalError::Call { status, .. }) if status.code() == Code::NotFound => true,
        Err(error) => {
            tracing::warn!(%error, sandbox_id, "a sandbox at Modal could not be ended");
            false
        }
    }
}

fn said(result: &GenericResult) -> String {
    let status = match result.status() {
        GenericStatus::Timeout => "its time is over; raise `timeout_min` in `[sandbox.modal]`",
        GenericStatus::Terminated => "it was terminated",
        GenericStatus::IdleTimeout => "it was idle for too long",
        GenericStatus::KernelOomKill
        | GenericStatus::MemoryManagerEviction
        | GenericStatus::MemoryThrashingEviction => {
            "it had too little memory; raise `memory_mb` in `[sandbox]`"
        }
        status => status.as_str_name(),
    };
    match result.exception.as_str() {
        "" => status.to_owned(),
        exception => format!("{status}: {exception}"),
    }
}

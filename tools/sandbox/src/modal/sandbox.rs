//! An open sandbox at Modal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::config::ModalConfig;
use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox, SandboxCommand, SandboxError, SandboxHandle, SandboxNotice,
    SandboxProcess,
};
use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::calls::{SandboxRef, ended, router_access, said, task_id};
use super::control::Control;
use super::engine::{end_spawner, start};
use super::error::ModalError;
use super::lifecycle::{Lifecycle, OwnedSandbox};
use super::router::Router;
use super::warm::{WarmImages, WarmName};
use super::wire::client::SandboxCreateV2Response;
use super::wire::client::generic_result::GenericStatus;
use super::wire::task_command_router::{
    TaskSetNetworkAccessRequest, TaskSnapshotFilesystemRequest,
};
use super::{KIND, Reach};
use crate::spawner::{Opened, Session};

/// How long what an earlier run left may take to be removed.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the processes inside may take to end well.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(18);

/// How long closing waits for Modal to end the sandbox, which goes on afterwards.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// What finds a sandbox again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Handle {
    run: RunId,
    sandbox_id: String,
    task_id: String,
    /// The spawner's process.
    exec_id: String,
    /// Where it is written down; empty where it could not be.
    #[serde(default)]
    record: String,
}

/// An open sandbox. Dropping it ends it.
pub(super) struct ModalSandbox {
    router: Arc<Router>,
    handle: Handle,
    workspace: PathBuf,
    tool_host: PathBuf,
    session: Session,
    reach: Reach,
    /// Gone once it is closed.
    owned: Mutex<Option<OwnedSandbox>>,
    /// Who is told what it has used.
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
        (made, owned): (SandboxCreateV2Response, OwnedSandbox),
        opening: &Opening<'_>,
        is_warm: bool,
        config: &ModalConfig,
    ) -> Result<Self, ModalError> {
        match Self::begin_in(control, made, opening, is_warm, config).await {
            Ok(sandbox) => Ok(sandbox.owning(owned).reaching(config)),
            Err(error) => {
                owned.end().await;
                Err(error)
            }
        }
    }

    async fn begin_in(
        control: Arc<Control>,
        made: SandboxCreateV2Response,
        opening: &Opening<'_>,
        is_warm: bool,
        config: &ModalConfig,
    ) -> Result<Self, ModalError> {
        if let Some(result) = made
            .metadata
            .as_ref()
            .and_then(|known| known.result.as_ref())
            && result.status() != GenericStatus::Unspecified
        {
            return Err(ModalError::Ended(said(result)));
        }
        let known = SandboxRef::made(&made);
        let task_id = match made.task_id.as_str() {
            "" => task_id(&control, &known).await?,
            known => known.to_owned(),
        };
        let access = match made.command_router_access {
            Some(access) => access,
            None => router_access(&control, &known).await?,
        };
        let router = Router::new(control, known, task_id, &access)?;
        let (router, run) = (Arc::new(router), opening.run.clone());
        let upload = Some(opening.checkout);
        let (exec_id, opened) = start(&router, &run, upload, config.startup_timeout).await?;
        let sandbox = Self::new(router, run, exec_id, opened);
        if is_warm {
            sandbox.remove_leftovers().await?;
        }
        Ok(Self {
            notices: Some(opening.notices.clone()),
            ..sandbox
        })
    }

    /// Finds a sandbox of an earlier server, and starts processes in it anew. It is ended where that fails.
    pub(super) async fn find(
        lifecycle: &Arc<Lifecycle>,
        old: Handle,
        notices: mpsc::Sender<SandboxNotice>,
        config: &ModalConfig,
    ) -> Result<Self, ModalError> {
        let owned = lifecycle.take_over(&old.run, &old.sandbox_id, &old.record)?;
        let control = Arc::clone(&lifecycle.control);
        match Self::find_in(control, old, config).await {
            Ok(sandbox) => Ok(Self {
                notices: Some(notices),
                ..sandbox.owning(owned).reaching(config)
            }),
            Err(error) => {
                owned.end().await;
                Err(error)
            }
        }
    }

    async fn find_in(
        control: Arc<Control>,
        old: Handle,
        config: &ModalConfig,
    ) -> Result<Self, ModalError> {
        let known = SandboxRef::found(&old.sandbox_id);
        if let Some(result) = ended(&control, &known).await? {
            return Err(ModalError::Ended(said(&result)));
        }
        let access = router_access(&control, &known).await?;
        let router = Arc::new(Router::new(control, known, old.task_id, &access)?);
        end_spawner(&router, &old.exec_id).await;
        let (exec_id, opened) = start(&router, &old.run, None, config.startup_timeout).await?;
        Ok(Self::new(router, old.run, exec_id, opened))
    }

    fn reaching(self, config: &ModalConfig) -> Self {
        Self {
            reach: Reach::of(config),
            ..self
        }
    }

    fn owning(mut self, owned: OwnedSandbox) -> Self {
        self.handle.record = owned.record().unwrap_or_default().to_owned();
        Self {
            owned: Mutex::new(Some(owned)),
            ..self
        }
    }

    fn new(router: Arc<Router>, run: RunId, exec_id: String, opened: Opened) -> Self {
        Self {
            handle: Handle {
                run,
                sandbox_id: router.sandbox.id.clone(),
                task_id: router.task_id.clone(),
                exec_id,
                record: String::new(),
            },
            router,
            workspace: opened.workspace,
            tool_host: opened.tool_host,
            session: opened.session,
            reach: Reach::Named,
            owned: Mutex::new(None),
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
        // What counts as left is said by this base's files.
        for task in [&["reset", "--hard", "--quiet"][..], &["clean", "-ffdq"]] {
            self.run_git(task).await?;
        }
        Ok(())
    }

    async fn run_git(&self, task: &[&str]) -> Result<(), ModalError> {
        let argv = ["git", "-c", "safe.directory=*"].iter().chain(task);
        let command = SandboxCommand::new(argv.copied());
        let failed = |how: String| {
            let task = task.join(" ");
            ModalError::Ended(format!("what an earlier run left stays: git {task}: {how}"))
        };
        let process = self.session.spawn(command).await;
        let process = process.map_err(|error| failed(error.to_string()))?;
        let exit = tokio::time::timeout(CLEAN_TIMEOUT, process.exit).await;
        match exit {
            Ok(Ok(ProcessExit::Code(0))) => Ok(()),
            how => Err(failed(format!("{how:?}"))),
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
            network_access: Some(self.reach.access(hosts)),
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

    async fn leave(&self) -> Result<(), SandboxError> {
        let owned = self.owned.lock();
        let owned = owned.unwrap_or_else(PoisonError::into_inner).take();
        let ended = tokio::time::timeout(GOODBYE_TIMEOUT, self.session.close()).await;
        if let Some(owned) = owned {
            owned.leave();
        }
        ended.unwrap_or_else(|_| {
            Err(SandboxError::Lost {
                kind: KIND,
                reason: "it does not say that its processes have ended".to_owned(),
            })
        })
    }

    async fn close(&self) -> Result<(), SandboxError> {
        let owned = self.owned.lock();
        let owned = owned.unwrap_or_else(PoisonError::into_inner).take();
        // Ending the sandbox ends its processes; asking them first lets them end well.
        let asked = tokio::time::timeout(GOODBYE_TIMEOUT, self.session.close()).await;
        let Some(owned) = owned else {
            return Ok(());
        };
        let ending = owned.end_and_tell(self.notices.clone());
        let ended = tokio::time::timeout(END_TIMEOUT, ending).await;
        match (asked, ended) {
            // Nothing runs in it any more.
            (Ok(Ok(())), _) | (_, Ok(true)) => Ok(()),
            (Ok(Err(error)), _) => Err(error),
            (Err(_), _) => Err(SandboxError::Lost {
                kind: KIND,
                reason: "neither it nor Modal says that it has ended".to_owned(),
            }),
        }
    }
}

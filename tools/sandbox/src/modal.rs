//! `modal`: a sandbox at Modal.
//!
//! The control plane makes images and sandboxes; beside each sandbox runs a command router, which starts
//! processes in it. One of them is a [`crate::spawner`], and everything else is its child: so one
//! process is carried over the network with offsets, and all others get the flow control, the kills and
//! the care for orphans that a stream of ours has.
//!
//! `proto/` holds what we use of Modal's wire, [`wire`] the code for it.

mod account;
mod background;
mod calls;
mod channel;
mod control;
mod diagnosis;
mod engine;
mod error;
mod exec;
mod image;
mod lifecycle;
mod records;
mod retry;
mod router;
mod sandbox;
mod token;
mod warm;
#[expect(
    missing_docs,
    unused_qualifications,
    reason = "most of it is generated"
)]
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::config::{ModalConfig, SandboxConfig};
use pullwright_core::sandbox::{
    Opening, Sandbox, SandboxError, SandboxHandle, SandboxHost, SandboxNotice,
};
use pullwright_protocol::RunId;
use tokio::sync::{OnceCell, mpsc};

use control::Control;
use image::Builder;
use lifecycle::Lifecycle;
use records::Records;
use sandbox::{Handle, ModalSandbox};
use warm::{WarmImages, WarmName};
use wire::client::network_access::NetworkAccessType;
use wire::client::{
    AppGetOrCreateRequest, EnvironmentGetOrCreateRequest, NetworkAccess, ObjectCreationType,
    Resources, SandboxCreateV2Request, SandboxTag, SchedulerPlacement,
};

pub use account::{Account, AccountError};
pub use diagnosis::diagnose;
pub use error::ModalError;

/// The name of this kind.
const KIND: &str = "modal";

/// Where our executable is in the image.
const TOOL_HOST: &str = "/usr/local/bin/pullwright";

/// Where the workspace is.
const WORKSPACE: &str = "/workspace";

/// The tags that say which run a sandbox is for, in which record it is written down, and that it is
/// ours.
const RUN_TAG: &str = "pullwright-run";
const RECORD_TAG: &str = "pullwright-record";
const OWNER_TAG: &str = "pullwright";

/// How many lines of a build's log wait for their reader.
const QUEUED_LINES: usize = 64;

/// Opens sandboxes at Modal.
pub struct ModalHost {
    config: ModalConfig,
    memory_mb: u32,
    tool_host: PathBuf,
    prepared: OnceCell<Prepared>,
    lifecycle: Arc<Lifecycle>,
    warm: Arc<WarmImages>,
}

/// What all sandboxes have in common.
#[derive(Clone, Debug)]
struct Prepared {
    app_id: String,
    image_id: String,
    /// What the image is made from, whatever Modal calls it.
    recipe: String,
}

impl ModalHost {
    /// A host for `account`; `data_dir` is the server's own folder, and `tool_host` this machine's own
    /// Pullwright.
    ///
    /// # Errors
    /// The configuration names no executable that can run there.
    pub fn new(
        config: &SandboxConfig,
        account: Account,
        data_dir: &Path,
        tool_host: &Path,
    ) -> Result<Self, SandboxError> {
        let Some(modal) = &config.modal else {
            return Err(SandboxError::Refused {
                kind: KIND,
                reason: "`[sandbox.modal]` was not read".to_owned(),
                remedy: "write `kind = \"modal\"` in `[sandbox]`".to_owned(),
            });
        };
        let tool_host = match &modal.tool_host {
            Some(configured) => configured.clone(),
            None if is_static(tool_host) => tool_host.to_owned(),
            None => {
                let reason =
                    "this executable needs this machine's libraries, so it cannot run at Modal";
                return Err(ModalError::ToolHost(reason.to_owned()).into_sandbox_error());
            }
        };
        let control = Control::new(account).map_err(ModalError::into_sandbox_error)?;
        Ok(Self {
            config: modal.clone(),
            memory_mb: u32::try_from(config.memory_mb).unwrap_or(u32::MAX),
            tool_host,
            prepared: OnceCell::new(),
            lifecycle: Lifecycle::new(control, Records::new(data_dir)),
            warm: Arc::new(WarmImages::new(data_dir, modal.warm_start)),
        })
    }

    /// The app and the image, made once. Its build is told to `notices`.
    async fn prepared(
        &self,
        notices: &mpsc::Sender<SandboxNotice>,
    ) -> Result<&Prepared, ModalError> {
        self.prepared
            .get_or_try_init(|| self.prepare(notices))
            .await
    }

    async fn prepare(&self, notices: &mpsc::Sender<SandboxNotice>) -> Result<Prepared, ModalError> {
        let control = &self.lifecycle.control;
        let environment = &control.account().environment;
        let app = AppGetOrCreateRequest {
            app_name: self.config.app.clone(),
            environment_name: environment.clone(),
            object_creation_type: ObjectCreationType::CreateIfMissing.into(),
        };
        let app = control.call("AppGetOrCreate", app, |mut client, request| async move {
            client.app_get_or_create(request).await
        });
        let app_id = app.await?.app_id;
        let version = self.builder_version(environment).await?;
        let (log, lines) = mpsc::channel(QUEUED_LINES);
        let builder = Builder {
            control,
            app_id: &app_id,
            version: &version,
            log: &log,
        };
        let telling = tokio::spawn(tell(lines, notices.clone()));
        let built = builder.build(&self.config, &self.tool_host).await;
        drop(log);
        // What was said before it failed tells most.
        let _ = telling.await;
        let built = built?;
        Ok(Prepared {
            image_id: built.image_id,
            recipe: built.recipe,
            app_id,
        })
    }

    async fn builder_version(&self, environment: &str) -> Result<String, ModalError> {
        let request = EnvironmentGetOrCreateRequest {
            deployment_name: environment.to_owned(),
            object_creation_type: ObjectCreationType::Unspecified.into(),
        };
        let found = self.lifecycle.control.call(
            "EnvironmentGetOrCreate",
            request,
            |mut client, request| async move { client.environment_get_or_create(request).await },
        );
        let settings = found.await?.metadata.and_then(|metadata| metadata.settings);
        Ok(settings.unwrap_or_default().image_builder_version)
    }

    fn definition(&self, image_id: String) -> wire::client::Sandbox {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        wire::client::Sandbox {
            // Stays until the sandbox is ended; the processes are started beside it.
            entrypoint_args: [TOOL_HOST, "tool-host", "stay"].map(str::to_owned).to_vec(),
            image_id,
            resources: Some(Resources {
                memory_mb: self.memory_mb,
                memory_mb_max: self.memory_mb,
                milli_cpu: self.config.cpus.map_or(0, milli),
                ..Resources::default()
            }),
            timeout_secs: seconds(self.config.timeout),
            idle_timeout_secs: Some(seconds(self.config.idle_timeout)),
            workdir: Some("/".to_owned()),
            network_access: Some(Reach::of(&self.config).access(&[])),
            scheduler_placement: (!self.config.regions.is_empty()).then(|| SchedulerPlacement {
                regions: self.config.regions.clone(),
            }),
            ..wire::client::Sandbox::default()
        }
    }

    async fn create(&self, opening: &Opening<'_>) -> Result<ModalSandbox, ModalError> {
        let prepared = self.prepared(&opening.notices).await?;
        let name = opening
            .warm
            .map(|name| WarmName::new(name, &prepared.recipe));
        let kept = name.as_ref().and_then(|name| self.warm.find(name));
        if let (Some(name), Some(image_id)) = (&name, kept) {
            match self.create_from(prepared, &image_id, opening).await {
                Ok(sandbox) => return Ok(sandbox.warm()),
                Err(error) if error.is_for_now() => return Err(error),
                // A snapshot that is gone, or of no use, is no reason to have no sandbox.
                Err(error) => {
                    tracing::info!(%error, "a warm start failed; the sandbox starts cold");
                    self.warm.forget(name);
                }
            }
        }
        let sandbox = self
            .create_from(prepared, &prepared.image_id, opening)
            .await?;
        Ok(match name {
            Some(name) => sandbox.keeping(name, Arc::clone(&self.warm)),
            None => sandbox,
        })
    }

    async fn create_from(
        &self,
        prepared: &Prepared,
        image_id: &str,
        opening: &Opening<'_>,
    ) -> Result<ModalSandbox, ModalError> {
        let tag = |name: &str, value: &str| SandboxTag {
            tag_name: name.to_owned(),
            tag_value: value.to_owned(),
        };
        let request = SandboxCreateV2Request {
            app_id: prepared.app_id.clone(),
            definition: Some(self.definition(image_id.to_owned())),
            tags: vec![tag(OWNER_TAG, "1"), tag(RUN_TAG, &opening.run.0)],
            ..SandboxCreateV2Request::default()
        };
        let made = self.lifecycle.create(opening.run, request).await?;
        ModalSandbox::begin(
            Arc::clone(&self.lifecycle.control),
            made,
            opening,
            image_id != prepared.image_id,
            &self.config,
        )
        .await
    }
}

#[async_trait]
impl SandboxHost for ModalHost {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn shares_checkout(&self) -> bool {
        false
    }

    fn warning(&self) -> Option<String> {
        let warning = "processes in the sandbox reach the whole network, as `open_network` in \
                       [sandbox.modal] wants it";
        self.config.open_network.then(|| warning.to_owned())
    }

    fn deserted(&self) -> Vec<RunId> {
        self.lifecycle.deserted()
    }

    fn end_deserted(&self, run: &RunId) {
        self.lifecycle.end_deserted(run);
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError> {
        match self.create(&opening).await {
            Ok(sandbox) => Ok(Arc::new(sandbox)),
            Err(error) => Err(error.into_sandbox_error()),
        }
    }

    async fn attach(
        &self,
        handle: &SandboxHandle,
        notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let lost = |reason: String| SandboxError::Lost { kind: KIND, reason };
        if handle.kind != KIND {
            return Err(lost(format!(
                "the handle is one of the `{}` sandbox",
                handle.kind
            )));
        }
        let handle: Handle = serde_json::from_value(handle.data.clone())
            .map_err(|error| lost(format!("the handle cannot be read: {error}")))?;
        match ModalSandbox::find(&self.lifecycle, handle, notices, &self.config).await {
            Ok(sandbox) => Ok(Arc::new(sandbox)),
            Err(error) => Err(error.into_sandbox_error()),
        }
    }

    async fn over(&self, run: &RunId) {
        self.lifecycle.over(run).await;
    }
}

/// What sandboxes can be allowed to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The hosts that are named.
    Named,
    /// Everything, named or not.
    Everything,
}

impl Reach {
    fn of(config: &ModalConfig) -> Self {
        match config.open_network {
            true => Self::Everything,
            false => Self::Named,
        }
    }

    /// What may be reached where these hosts are named.
    fn access(self, hosts: &[String]) -> NetworkAccess {
        let (kind, hosts) = match (self, hosts) {
            (Self::Everything, _) => (NetworkAccessType::Open, &[][..]),
            (Self::Named, []) => (NetworkAccessType::Blocked, hosts),
            (Self::Named, _) => (NetworkAccessType::Allowlist, hosts),
        };
        NetworkAccess {
            network_access_type: kind.into(),
            allowed_domains: hosts.to_vec(),
            ..NetworkAccess::default()
        }
    }
}

fn milli(cpus: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the configuration allows 0.125 to 64"
    )]
    let milli = (cpus * 1000.0) as u32;
    milli
}

async fn tell(mut lines: mpsc::Receiver<String>, notices: mpsc::Sender<SandboxNotice>) {
    while let Some(line) = lines.recv().await {
        let _ = notices.send(SandboxNotice::Progress(line)).await;
    }
}

/// Whether an executable needs no loader of the machine it runs on.
fn is_static(path: &Path) -> bool {
    /// The kind of a program header that names a loader.
    const PT_INTERP: u32 = 3;

    let header = |bytes: &[u8]| -> Option<bool> {
        let at = |from: usize, len: usize| bytes.get(from..from + len);
        if at(0, 5)? != b"\x7fELF\x02" {
            return None;
        }
        let number = |from: usize, len: usize| {
            let bytes = at(from, len)?.iter().rev();
            Some(bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for entry in 0..count {
            let from = usize::try_from(table + entry * size).ok()?;
            if number(from, 4)? == u64::from(PT_INTERP) {
                return Some(false);
            }
        }
        Some(true)
    };
    let read = std::fs::read(path).ok();
    read.and_then(|bytes| header(&bytes)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reached_but_what_is_named_unless_everything_is() {
        let hosts = ["example.com".to_owned()];
        let kind = |reach: Reach, hosts: &[String]| {
            let access = reach.access(hosts);
            (access.network_access_type(), access.allowed_domains)
        };
        let named = (NetworkAccessType::Allowlist, hosts.to_vec());
        assert_eq!(kind(Reach::Named, &hosts), named);
        let blocked = (NetworkAccessType::Blocked, Vec::new());
        assert_eq!(kind(Reach::Named, &[]), blocked);
        let open = (NetworkAccessType::Open, Vec::new());
        assert_eq!(kind(Reach::Everything, &hosts), open);
        assert_eq!(Reach::of(&ModalConfig::default()), Reach::Named);
    }
}

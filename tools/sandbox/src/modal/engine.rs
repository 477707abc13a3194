//! The spawner that Modal starts in a sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;

use super::calls::{ended, said};
use super::error::ModalError;
use super::exec::{Exec, Start};
use super::router::Router;
use super::{KIND, TOOL_HOST, WORKSPACE};
use crate::spawner::{self, Engine, Input, Opened, Output};

/// How long an old spawner may take to end what it started, before a new one is started beside it.
const OLD_SPAWNER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long Modal may take to say why a sandbox ended.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a spawner, and sends it `checkout` unless the workspace is there.
pub(super) async fn start(
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
        Box::new(ModalEngine {
            exec,
            router: Arc::clone(router),
        }),
        run,
        checkout,
        startup_timeout,
    )
    .await;
    let opened = opened.map_err(|error| ModalError::Ended(error.to_string()))?;
    Ok((id, opened))
}

/// Ends an earlier server's spawner, and with it all that it started.
pub(super) async fn end_spawner(router: &Router, exec_id: &str) {
    if let Err(error) = Exec::close_input(router, exec_id).await {
        tracing::info!(%error, "the earlier spawner is gone");
        return;
    }
    Exec::wait_for(router, exec_id, OLD_SPAWNER_TIMEOUT).await;
}

/// The spawner, as Modal started it.
struct ModalEngine {
    exec: Exec,
    router: Arc<Router>,
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

    async fn why_lost(&mut self) -> Option<String> {
        let asked = ended(&self.router.control, &self.router.sandbox);
        let answer = tokio::time::timeout(ASK_TIMEOUT, asked).await;
        answer.ok()?.ok()?.map(|result| said(&result))
    }

    fn remedy_for_silence(&self) -> &'static str {
        "raise `startup_timeout_sec` in `[sandbox.modal]` if the image is large"
    }

    fn remedy_for_another(&self) -> &'static str {
        "put a static executable of the same version into `[sandbox.modal] tool_host`; `pullwright \
         doctor --modal` tries it"
    }
}

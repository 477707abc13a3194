//! What the control plane is asked about one sandbox.

use std::time::Duration;

use pullwright_protocol::SandboxUsage;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::control::{CallOptions, Control};
use super::error::ModalError;
use super::wire::client::generic_result::GenericStatus;
use super::wire::client::sandbox_get_command_router_access_request::Target;
use super::wire::client::{
    CommandRouterAccess, GenericResult, SandboxCreateV2Request, SandboxCreateV2Response,
    SandboxGetCommandRouterAccessRequest, SandboxGetResourceUsageRequest, SandboxGetTaskIdRequest,
    SandboxListRequest, SandboxTag, SandboxTerminateRequest, SandboxWaitRequest,
};

/// How long making a sandbox may take: Modal may wait for a machine.
pub(super) const CREATE_TIMEOUT: Duration = Duration::from_secs(310);

/// How long Modal may look for a machine after that.
const SCHEDULE_TIMEOUT: Duration = Duration::from_secs(310);

/// A sandbox, as the control plane knows it.
#[derive(Clone)]
pub(super) struct SandboxRef {
    pub(super) id: String,
    /// Shown in every call about it, where Modal gave one out.
    token: Option<String>,
}

impl SandboxRef {
    /// One that was just made.
    pub(super) fn made(made: &SandboxCreateV2Response) -> Self {
        let token = &made.sandbox_token;
        Self {
            id: made.sandbox_id.clone(),
            token: (!token.is_empty()).then(|| token.clone()),
        }
    }

    /// One of an earlier server: its token was for that one only.
    pub(super) fn found(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            token: None,
        }
    }

    pub(super) fn options(&self) -> CallOptions {
        CallOptions {
            sandbox_token: self.token.clone(),
            ..CallOptions::default()
        }
    }
}

/// Makes a sandbox. Once `given_up`, the attempt under way is the last.
pub(super) async fn create(
    control: &Control,
    request: SandboxCreateV2Request,
    given_up: CancellationToken,
) -> Result<SandboxCreateV2Response, ModalError> {
    let options = CallOptions {
        attempt: CREATE_TIMEOUT,
        given_up,
        sandbox_token: None,
    };
    let made = control.call_with(
        "SandboxCreateV2",
        options,
        request,
        |mut client, request| async move { client.sandbox_create_v2(request).await },
    );
    made.await
}

/// The sandboxes that are there and have this tag.
pub(super) async fn tagged(control: &Control, tag: SandboxTag) -> Result<Vec<String>, ModalError> {
    let request = SandboxListRequest {
        // Without, those of the workspace's own environment are listed.
        environment_name: control.account().environment.clone(),
        tags: vec![tag],
        ..SandboxListRequest::default()
    };
    let listed = control.call("SandboxListV2", request, |mut client, request| async move {
        client.sandbox_list_v2(request).await
    });
    let sandboxes = listed.await?.sandboxes.into_iter();
    Ok(sandboxes.map(|sandbox| sandbox.id).collect())
}

/// The task of a sandbox, once Modal has found a machine for it.
pub(super) async fn task_id(control: &Control, sandbox: &SandboxRef) -> Result<String, ModalError> {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < SCHEDULE_TIMEOUT {
        let request = SandboxGetTaskIdRequest {
            sandbox_id: sandbox.id.clone(),
            timeout: Some(10.0),
            ..SandboxGetTaskIdRequest::default()
        };
        let found = control.call_with(
            "SandboxGetTaskIdV2",
            sandbox.options(),
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

/// Where a sandbox's command router is, and what lets us in.
pub(super) async fn router_access(
    control: &Control,
    sandbox: &SandboxRef,
) -> Result<CommandRouterAccess, ModalError> {
    let request = SandboxGetCommandRouterAccessRequest {
        target: Some(Target::SandboxId(sandbox.id.clone())),
    };
    let answer = control.call_with(
        "SandboxGetCommandRouterAccess",
        sandbox.options(),
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
pub(super) async fn ended(
    control: &Control,
    sandbox: &SandboxRef,
) -> Result<Option<GenericResult>, ModalError> {
    let request = SandboxWaitRequest {
        sandbox_id: sandbox.id.clone(),
        timeout: 0.0,
    };
    let answer = control.call_with(
        "SandboxWaitV2",
        sandbox.options(),
        request,
        |mut client, request| async move { client.sandbox_wait_v2(request).await },
    );
    let result = answer.await?.result;
    Ok(result.filter(|result| result.status() != GenericStatus::Unspecified))
}

/// Ends a sandbox and says whether it is gone: one that cannot be ended now is tried again by the next
/// server, or ends by its timeout.
pub(super) async fn terminate(control: &Control, sandbox: &SandboxRef) -> bool {
    let request = SandboxTerminateRequest {
        sandbox_id: sandbox.id.clone(),
    };
    let ended = control.call_with(
        "SandboxTerminateV2",
        sandbox.options(),
        request,
        |mut client, request| async move { client.sandbox_terminate_v2(request).await },
    );
    match ended.await {
        Ok(_) => true,
        Err(ModalError::Call { status, .. }) if status.code() == Code::NotFound => true,
        Err(error) => {
            tracing::warn!(%error, sandbox = sandbox.id, "a sandbox at Modal could not be ended");
            false
        }
    }
}

/// What Modal will write on its bill, where it knows that.
pub(super) async fn used(
    control: &Control,
    sandbox: &SandboxRef,
) -> Result<SandboxUsage, ModalError> {
    let request = SandboxGetResourceUsageRequest {
        sandbox_id: sandbox.id.clone(),
    };
    let used = control.call_with(
        "SandboxGetResourceUsage",
        sandbox.options(),
        request,
        |mut client, request| async move { client.sandbox_get_resource_usage(request).await },
    );
    let used = used.await?;
    Ok(SandboxUsage {
        cpu_core_seconds: seconds(used.cpu_core_nanosecs),
        memory_gib_seconds: seconds(used.mem_gib_nanosecs),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 nanoseconds are a hundred days"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// How a sandbox ended, in words that say what to do.
pub(super) fn said(result: &GenericResult) -> String {
    let how = match result.status() {
        GenericStatus::Timeout => {
            "its time is over; raise `timeout_min` in `[sandbox.modal]`".to_owned()
        }
        GenericStatus::Terminated => "it was terminated".to_owned(),
        GenericStatus::IdleTimeout => "it was idle for too long".to_owned(),
        GenericStatus::KernelOomKill
        | GenericStatus::MemoryManagerEviction
        | GenericStatus::MemoryThrashingEviction => {
            "it had too little memory; raise `memory_mb` in `[sandbox]`".to_owned()
        }
        other => format!("Modal says that it ended with {}", other.as_str_name()),
    };
    match result.exception.as_str() {
        "" => how,
        exception => format!("{how}: {exception}"),
    }
}

//! What the control plane is asked about one sandbox.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::control::{Control, Patience};
use super::error::ModalError;
use super::wire::client::generic_result::GenericStatus;
use super::wire::client::sandbox_get_command_router_access_request::Target;
use super::wire::client::{
    CommandRouterAccess, GenericResult, SandboxCreateV2Request, SandboxCreateV2Response,
    SandboxGetCommandRouterAccessRequest, SandboxGetTaskIdRequest, SandboxListRequest, SandboxTag,
    SandboxTerminateRequest, SandboxWaitRequest,
};

/// How long making a sandbox may take: Modal may wait for a machine.
const CREATE_TIMEOUT: Duration = Duration::from_secs(310);

/// How long Modal may look for a machine after that.
const SCHEDULE_TIMEOUT: Duration = Duration::from_secs(310);

/// Makes a sandbox. Once `given_up`, the attempt under way is the last.
pub(super) async fn create(
    control: &Control,
    request: SandboxCreateV2Request,
    given_up: CancellationToken,
) -> Result<SandboxCreateV2Response, ModalError> {
    let patience = Patience {
        attempt: CREATE_TIMEOUT,
        given_up,
    };
    let made = control.call_with_patience(
        "SandboxCreateV2",
        patience,
        request,
        |mut client, request| async move { client.sandbox_create_v2(request).await },
    );
    made.await
}

/// The sandboxes that are there and have this tag.
pub(super) async fn tagged(control: &Control, tag: SandboxTag) -> Result<Vec<String>, ModalError> {
    let request = SandboxListRequest {
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
pub(super) async fn task_id(control: &Control, sandbox_id: &str) -> Result<String, ModalError> {
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

/// Where a sandbox's command router is, and what lets us in.
pub(super) async fn router_access(
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
pub(super) async fn ended(
    control: &Control,
    sandbox_id: &str,
) -> Result<Option<GenericResult>, ModalError> {
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

/// How a sandbox ended, in words that say what to do.
pub(super) fn said(result: &GenericResult) -> String {
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

//! How a sandbox at Modal begins and ends.

use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::RunId;
use tonic::Code;

use super::control::Control;
use super::error::ModalError;
use super::records::{Record, Records};
use super::wire::client::generic_result::GenericStatus;
use super::wire::client::sandbox_get_command_router_access_request::Target;
use super::wire::client::{
    CommandRouterAccess, GenericResult, SandboxCreateV2Request, SandboxCreateV2Response,
    SandboxGetCommandRouterAccessRequest, SandboxGetTaskIdRequest, SandboxTerminateRequest,
    SandboxWaitRequest,
};

/// How long making a sandbox may take: Modal may wait for a machine.
const CREATE_TIMEOUT: Duration = Duration::from_secs(310);

/// How long Modal may look for a machine after that.
const SCHEDULE_TIMEOUT: Duration = Duration::from_secs(310);

/// A sandbox that was made and is not open yet. Dropping it ends the sandbox: the run may have been
/// cancelled meanwhile.
pub(super) struct Unfinished(Option<Begun>);

struct Begun {
    control: Arc<Control>,
    sandbox_id: String,
    record: Option<Record>,
}

/// Makes a sandbox for a run, and writes down that it is ours. It is made to the end even if this is
/// dropped: only who has heard of a sandbox can end it.
pub(super) async fn create(
    control: &Arc<Control>,
    records: &Records,
    run: &RunId,
    request: SandboxCreateV2Request,
) -> Result<(SandboxCreateV2Response, Unfinished), ModalError> {
    let (control, records, run) = (Arc::clone(control), records.clone(), run.clone());
    let making = tokio::spawn(async move {
        let made = control.call_within(
            "SandboxCreateV2",
            CREATE_TIMEOUT,
            request,
            |mut client, request| async move { client.sandbox_create_v2(request).await },
        );
        let made = made.await?;
        let begun = Begun {
            record: records.keep_or_warn(&run, &made.sandbox_id),
            sandbox_id: made.sandbox_id.clone(),
            control,
        };
        Ok((made, Unfinished(Some(begun))))
    });
    let lost = |error| ModalError::Ended(format!("nobody waited for it to be made: {error}"));
    making.await.map_err(lost)?
}

impl Unfinished {
    /// It is open; the record is its owner's from now on.
    pub(super) fn finish(mut self) -> Option<Record> {
        self.0.take().and_then(|begun| begun.record)
    }

    /// It did not open.
    pub(super) async fn end(mut self) {
        if let Some(begun) = self.0.take() {
            begun.end().await;
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(begun), Ok(runtime)) = (self.0.take(), runtime) {
            runtime.spawn(begun.end());
        }
    }
}

impl Begun {
    async fn end(self) {
        let is_ended = terminate(&self.control, &self.sandbox_id).await;
        if let Some(record) = self.record.filter(|_| is_ended) {
            record.remove();
        }
    }
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

//! Who is let in, and what each is answered.

use std::sync::Arc;

use pullwright_sandbox::modal::wire::client::{
    CommandRouterAccess, SandboxCreateV2Response, SandboxHandleMetadata,
};
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::{ACCOUNT, Control};
use crate::machine::Machine;
use crate::{TOKEN_ID, TOKEN_SECRET};

/// `CLIENT_TYPE_LIBMODAL_JS` and `CLIENT_TYPE_LIBMODAL_GO`.
const CLIENT_TYPE_JS: &str = "8";
const CLIENT_TYPE_GO: &str = "9";

impl Control {
    /// Lets a call in whose client may, and answers what goes wrong after it.
    pub(super) async fn enter(
        &self,
        name: &str,
        metadata: &MetadataMap,
    ) -> Result<Option<Status>, Status> {
        self.0.journal.add(name, metadata);
        let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok());
        if text("x-modal-token-id") != Some(TOKEN_ID)
            || text("x-modal-token-secret") != Some(TOKEN_SECRET)
        {
            return Err(Status::unauthenticated("the token is not known"));
        }
        for needed in ["x-modal-client-version", "x-modal-client-type"] {
            if text(needed).is_none() {
                return Err(Status::failed_precondition(format!("{needed} is missing")));
            }
        }
        if name.ends_with("V2") {
            let token = text("x-modal-auth-token");
            let token = token.ok_or_else(|| Status::unauthenticated("no auth token was shown"))?;
            self.0.tokens.check(token, ACCOUNT)?;
        }
        self.0.faults.before(name).await
    }

    /// The sandbox of this id, for one whose token for it, if any is shown, is the right one.
    pub(super) fn sandbox(&self, id: &str, metadata: &MetadataMap) -> Result<Arc<Machine>, Status> {
        let machine = self.0.machines.find(id)?;
        let shown = metadata.get("x-modal-sandbox-token");
        match shown.map(|shown| shown.to_str().ok()) {
            Some(shown) if shown != machine.token.as_deref() => Err(Status::permission_denied(
                format!("the token is not the one of the sandbox {id}"),
            )),
            _ => Ok(machine),
        }
    }

    pub(super) fn access(&self, machine: &Machine, metadata: &MetadataMap) -> CommandRouterAccess {
        let client = metadata.get("x-modal-client-type");
        // They want to read `https`, and speak without it on this machine all the same.
        let url = match client.and_then(|client| client.to_str().ok()) {
            Some(CLIENT_TYPE_JS | CLIENT_TYPE_GO) => self.0.url.replacen("http:", "https:", 1),
            _ => self.0.url.clone(),
        };
        CommandRouterAccess {
            jwt: self.0.tokens.give(&machine.task_id),
            url,
        }
    }

    /// What is answered to who made a sandbox.
    pub(super) fn made(
        &self,
        machine: &Machine,
        metadata: &MetadataMap,
    ) -> SandboxCreateV2Response {
        let mut made = SandboxCreateV2Response {
            sandbox_id: machine.id.clone(),
            metadata: Some(SandboxHandleMetadata {
                app_id: machine.app_id.clone(),
                ..SandboxHandleMetadata::default()
            }),
            sandbox_token: machine.token.clone().unwrap_or_default(),
            ..SandboxCreateV2Response::default()
        };
        if machine.is_scheduled() {
            made.task_id = machine.task_id.clone();
            made.command_router_access = Some(self.access(machine, metadata));
        }
        made
    }
}

/// An answer, unless something goes wrong `after` the work.
pub(super) fn answer<A>(answer: A, after: Option<Status>) -> Result<Response<A>, Status> {
    match after {
        Some(status) => Err(status),
        None => Ok(Response::new(answer)),
    }
}

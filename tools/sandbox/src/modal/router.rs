//! The command router of one sandbox: what is called there, made again where that may help.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Response, Status, Streaming};

use super::calls::{SandboxRef, router_access};
use super::channel::{Channels, MAX_MESSAGE_BYTES, Shared};
use super::control::Control;
use super::error::ModalError;
use super::retry::{Attempts, Policy, ROUTER};
use super::token::Token;
use super::wire::client::CommandRouterAccess;
use super::wire::task_command_router::task_command_router_client::TaskCommandRouterClient;

/// How long one attempt may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The client of one call.
pub(super) type Client = TaskCommandRouterClient<Channel>;

/// The router of one sandbox.
pub(super) struct Router {
    pub(super) control: Arc<Control>,
    pub(super) sandbox: SandboxRef,
    pub(super) task_id: String,
    access: Mutex<Access>,
}

/// How it is reached, until that changes.
struct Access {
    shared: Shared,
    token: Token,
}

impl Router {
    /// The router of a sandbox that was just made, or is found again.
    pub(super) fn new(
        control: Arc<Control>,
        sandbox: SandboxRef,
        task_id: String,
        access: &CommandRouterAccess,
    ) -> Result<Self, ModalError> {
        let access = Access::new(&control.routers, &access.url, &access.jwt)?;
        Ok(Self {
            control,
            sandbox,
            task_id,
            access: Mutex::new(access),
        })
    }

    fn attempts(&self, policy: Policy) -> Attempts {
        Attempts::new(policy, self.control.account().max_throttle)
    }

    /// Makes a call until it succeeds or there is no hope.
    pub(super) async fn call<Q, A, F>(
        &self,
        name: &'static str,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, ModalError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_by(ROUTER, name, request, send).await
    }

    /// The same with another patience.
    pub(super) async fn call_by<Q, A, F>(
        &self,
        policy: Policy,
        name: &'static str,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, ModalError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut attempts = self.attempts(policy);
        let mut was_refreshed = false;
        loop {
            let answer = self
                .attempt(CALL_TIMEOUT, &attempts, request.clone(), &send)
                .await;
            let status = match answer {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if status.code() == Code::Unauthenticated && !was_refreshed {
                was_refreshed = self.refresh().await?;
                if was_refreshed {
                    continue;
                }
            }
            match attempts.wait_after(&status) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(ModalError::call(name)(status)),
            }
        }
    }

    /// Makes a call once, and leaves what follows a failure to the caller.
    pub(super) async fn once<Q, A, F>(
        &self,
        limit: Duration,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.attempt(limit, &self.attempts(ROUTER), request, &send)
            .await
    }

    /// Begins to read a stream, which has no end in time.
    pub(super) async fn stream<Q, A, F>(
        &self,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<Streaming<A>, Status>
    where
        F: Future<Output = Result<Response<Streaming<A>>, Status>>,
    {
        let (client, token) = self.access.lock().await.of_a_call();
        let mut request = Request::new(request);
        sign(&mut request, &token, &self.attempts(ROUTER));
        send(client, request).await.map(Response::into_inner)
    }

    async fn attempt<Q, A, F>(
        &self,
        limit: Duration,
        attempts: &Attempts,
        request: Q,
        send: &impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let (client, token) = self.access.lock().await.of_a_call();
        let mut request = Request::new(request);
        sign(&mut request, &token, attempts);
        request.set_timeout(limit);
        let answer = tokio::time::timeout(limit, send(client, request)).await;
        answer
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
            .map(Response::into_inner)
    }

    /// Fetches a new token where the old one may be why a call was refused.
    pub(super) async fn refresh(&self) -> Result<bool, ModalError> {
        let mut access = self.access.lock().await;
        if access.token.is_fresh() {
            return Ok(false);
        }
        let answer = router_access(&self.control, &self.sandbox).await?;
        *access = Access::new(&self.control.routers, &answer.url, &answer.jwt)?;
        Ok(true)
    }
}

impl Access {
    fn new(routers: &Channels, url: &str, jwt: &str) -> Result<Self, ModalError> {
        let url: Uri = url
            .parse()
            .map_err(|_| ModalError::Address(url.to_owned()))?;
        Ok(Self {
            shared: routers.get(&url)?,
            token: Token::new(jwt.to_owned()),
        })
    }

    /// What a call needs; the connection counts its sandboxes, not their calls.
    fn of_a_call(&self) -> (Client, String) {
        let client = TaskCommandRouterClient::new(self.shared.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        (client, self.token.text.clone())
    }
}

fn sign<Q>(request: &mut Request<Q>, token: &str, attempts: &Attempts) {
    let metadata = request.metadata_mut();
    if let Ok(mut bearer) = AsciiMetadataValue::try_from(format!("Bearer {token}")) {
        bearer.set_sensitive(true);
        metadata.insert("authorization", bearer);
    }
    metadata.insert("x-throttle-retry-attempt", attempts.throttled.into());
}

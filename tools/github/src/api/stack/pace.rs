//! Content is not created faster than GitHub allows.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use octocrab::OctoBody;
use tower::Service;

use super::{Answering, Next, account_of};
use crate::api::account::Account;
use crate::api::fault::{Fault, Reason};
use crate::api::graphql;

/// Lets requests that create content wait for their time.
#[derive(Clone)]
pub(in crate::api) struct Pace<S> {
    inner: S,
    pause: Duration,
    patience: Duration,
}

impl<S> Pace<S> {
    pub(super) fn new(inner: S, pause: Duration, patience: Duration) -> Self {
        Self {
            inner,
            pause,
            patience,
        }
    }
}

impl<S: Next> Service<Request<OctoBody>> for Pace<S> {
    type Response = Response<Bytes>;
    type Error = Fault;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<OctoBody>) -> Answering {
        let mut inner = self.inner.clone();
        let (pause, patience) = (self.pause, self.patience);
        Box::pin(async move {
            if let Some(account) = account_of(&request).filter(|_| creates_content(&request)) {
                wait_for_turn(&account, pause, patience).await?;
            }
            inner.call(request).await
        })
    }
}

/// What an App asks about itself is no content.
fn creates_content(request: &Request<OctoBody>) -> bool {
    let is_content = request.uri().path().contains("/repos/") || graphql::is_asked(request.uri());
    request.method() != Method::GET && is_content
}

async fn wait_for_turn(
    account: &Account,
    pause: Duration,
    patience: Duration,
) -> Result<(), Fault> {
    let mut left = patience;
    while let Err(wait) = account.content.book(pause) {
        let reason = Reason::SecondaryLimit;
        left = left
            .checked_sub(wait)
            .ok_or(Fault::Held { reason, left: wait })?;
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

//! An account has so many requests under way, and no more.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use octocrab::OctoBody;
use tower::Service;

use super::{Answering, Next, account_of};
use crate::api::fault::{Fault, Reason};

/// Lets a request wait until it is its account's turn.
#[derive(Clone)]
pub(in crate::api) struct Turn<S> {
    inner: S,
    patience: Duration,
}

impl<S> Turn<S> {
    pub(super) fn new(inner: S, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

impl<S: Next> Service<Request<OctoBody>> for Turn<S> {
    type Response = Response<Bytes>;
    type Error = Fault;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<OctoBody>) -> Answering {
        let mut inner = self.inner.clone();
        let patience = self.patience;
        Box::pin(async move {
            let Some(account) = account_of(&request) else {
                return inner.call(request).await;
            };
            let turn = tokio::time::timeout(patience, account.turns.acquire()).await;
            let _turn = turn.map_err(|_| Fault::Held {
                reason: Reason::SecondaryLimit,
                left: patience,
            })?;
            inner.call(request).await
        })
    }
}

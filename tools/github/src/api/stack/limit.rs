//! What GitHub would refuse is not sent.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use octocrab::OctoBody;
use tower::Service;

use super::{Answering, Next, account_of};
use crate::api::account::Resource;
use crate::api::fault::Fault;

/// Keeps requests back until a limit is over, and learns from answers which there are.
#[derive(Clone)]
pub(in crate::api) struct Limit<S> {
    inner: S,
}

impl<S> Limit<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Next> Service<Request<OctoBody>> for Limit<S> {
    type Response = Response<Bytes>;
    type Error = Fault;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<OctoBody>) -> Answering {
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let Some(account) = account_of(&request) else {
                return inner.call(request).await;
            };
            let resource = Resource::of(request.uri());
            account.limits.check(resource)?;
            let answer = inner.call(request).await;
            match &answer {
                Ok(answer) => account.limits.learn(resource, answer.headers()),
                Err(Fault::Refused(refused)) => account.limits.learn_of_refusal(resource, refused),
                Err(_) => {}
            }
            answer
        })
    }
}

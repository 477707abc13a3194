//! What is known is asked for by its tag: an answer that nothing has changed costs nothing of the budget.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use octocrab::OctoBody;
use tower::Service;

use super::{Answering, Next, account_of};
use crate::api::account::{Account, Cache, Cached};
use crate::api::fault::Fault;

/// Asks for what is known by its tag.
#[derive(Clone)]
pub(in crate::api) struct Conditional<S> {
    inner: S,
    cache: Arc<Cache>,
}

impl<S> Conditional<S> {
    pub(super) fn new(inner: S, cache: Arc<Cache>) -> Self {
        Self { inner, cache }
    }
}

impl<S: Next> Service<Request<OctoBody>> for Conditional<S> {
    type Response = Response<Bytes>;
    type Error = Fault;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<OctoBody>) -> Answering {
        let (mut inner, cache) = (self.inner.clone(), Arc::clone(&self.cache));
        let account = account_of(&request).filter(|_| request.method() == Method::GET);
        Box::pin(async move {
            match account {
                Some(account) => ask(&mut inner, &cache, &account, request).await,
                None => inner.call(request).await,
            }
        })
    }
}

async fn ask<S: Next>(
    inner: &mut S,
    cache: &Cache,
    account: &Account,
    mut request: Request<OctoBody>,
) -> Result<Response<Bytes>, Fault> {
    let route = request.uri().path_and_query();
    let route = route.map(ToString::to_string).unwrap_or_default();
    let known = cache.get(account.number, &route);
    if let Some(known) = &known {
        request
            .headers_mut()
            .insert(IF_NONE_MATCH, known.tag.clone());
    }
    let answer = inner.call(request).await?;
    match known {
        Some(known) if answer.status() == StatusCode::NOT_MODIFIED => Ok(renewed(&known, &answer)),
        _ => {
            keep(cache, account, &route, &answer);
            Ok(answer)
        }
    }
}

/// The answer that is still good, with what GitHub says now, such as how much of the budget is left.
fn renewed(known: &Cached, answer: &Response<Bytes>) -> Response<Bytes> {
    let mut renewed = Response::new(known.body.clone());
    *renewed.headers_mut() = known.headers.clone();
    for (name, value) in answer.headers() {
        renewed.headers_mut().insert(name, value.clone());
    }
    renewed
}

fn keep(cache: &Cache, account: &Account, route: &str, answer: &Response<Bytes>) {
    let tag = answer.headers().get(ETAG);
    let Some(tag) = tag.filter(|_| answer.status() == StatusCode::OK) else {
        return;
    };
    let cached = Cached {
        tag: tag.clone(),
        headers: answer.headers().clone(),
        body: answer.body().clone(),
    };
    cache.put(account.number, route, cached);
}

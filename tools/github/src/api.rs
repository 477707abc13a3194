//! GitHub's REST API through octocrab, with waits, retries and errors of our own.

mod fault;
mod transport;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use octocrab::Octocrab;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

pub(crate) use self::fault::{Fault, Reason};
use crate::config::{GithubConfig, HttpLimits};
use crate::error::GithubError;

/// How often a request is sent at most, so that a broken host is given up in the end.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

type Answer = octocrab::Result<Response<BoxBody<Bytes, octocrab::Error>>>;

/// A client of GitHub's REST API.
pub(crate) struct Api {
    octocrab: Octocrab,
    base: Url,
    limits: HttpLimits,
}

impl Api {
    pub(crate) fn new(config: &GithubConfig) -> Result<Self, GithubError> {
        Ok(Self {
            octocrab: transport::connect(config)?,
            base: config.api_url.clone(),
            limits: config.limits,
        })
    }

    /// Reads `route`. Reading changes nothing, so it is tried again after a passing failure.
    pub(crate) async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T, Fault> {
        self.get_with(route, &[]).await
    }

    /// [`Api::get`] with query parameters.
    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Fault> {
        Ok(self.get_with_headers(route, query).await?.1)
    }

    /// [`Api::get_with`], with the headers of the answer.
    pub(crate) async fn get_with_headers<T: DeserializeOwned>(
        &self,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<(HeaderMap, T), Fault> {
        let route = with_query(route, query);
        let mut attempt = 1;
        loop {
            match read(self.octocrab._get(route.as_str()).await).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.pause(&fault, attempt).await.ok_or(fault)?,
            }
            attempt += 1;
        }
    }

    /// Creates something, once: whoever calls this must look for the effect before calling again.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let (_, created) = read(self.octocrab._post(route, Some(body)).await).await?;
        Ok(created)
    }

    /// Sets something to a given value. The same twice is the same as once, so it is tried again.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let mut attempt = 1;
        loop {
            match read(self.octocrab._patch(route, Some(body)).await).await {
                Ok((_, changed)) => return Ok(changed),
                Err(fault) => self.pause(&fault, attempt).await.ok_or(fault)?,
            }
            attempt += 1;
        }
    }

    /// The route that `url` names, if it is one of this API.
    pub(crate) fn route_of(&self, url: &Url) -> Option<String> {
        let below = url
            .path()
            .strip_prefix(self.base.path().trim_end_matches('/'))?;
        (url.origin() == self.base.origin() && below.starts_with('/')).then(|| below.to_owned())
    }

    /// Waits before the next attempt. `None` when there should be none.
    pub(crate) async fn pause(&self, fault: &Fault, attempt: u32) -> Option<()> {
        if attempt >= MAX_ATTEMPTS || !fault.passes() {
            return None;
        }
        let wait = fault.wait().unwrap_or_else(|| self.backoff(attempt));
        if wait > self.limits.longest_wait {
            return None;
        }
        tracing::info!(%fault, attempt, wait_ms = wait.as_millis(), "GitHub is asked again");
        tokio::time::sleep(wait).await;
        Some(())
    }

    /// The pause after the given attempt, where GitHub does not name one.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        self.limits.retry_delay * 2u32.saturating_pow(attempt.saturating_sub(1))
    }
}

/// The headers and the JSON of an answer; the transport lets only successes through.
async fn read<T: DeserializeOwned>(answer: Answer) -> Result<(HeaderMap, T), Fault> {
    let (parts, body) = answer?.into_parts();
    let body = body.collect().await?.to_bytes();
    let value =
        serde_json::from_slice(&body).map_err(|error| Fault::Nonsense(error.to_string()))?;
    Ok((parts.headers, value))
}

fn with_query(route: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return route.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{route}?{query}")
}

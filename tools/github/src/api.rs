//! GitHub's REST API, and one request of GraphQL, through octocrab, with waits, retries and errors of our own.

mod account;
mod app;
mod echo;
mod fault;
mod graphql;
mod stack;
mod transport;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use octocrab::Octocrab;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

pub use self::account::Accounts;
use self::account::{Account, Who};
use self::app::{App, AppFault, Token};
pub(crate) use self::fault::{Fault, Reason};
use crate::config::{GithubConfig, HttpLimits, Secret};
use crate::error::GithubError;
use crate::repository::Repo;

/// How often a request is sent at most, so that a broken host is given up in the end.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

const NO_BODY: Option<&()> = None;

/// What GraphQL answers where nothing went wrong.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

type Answer = octocrab::Result<Response<BoxBody<Bytes, octocrab::Error>>>;

/// A client of GitHub's REST API.
pub(crate) struct Api {
    wire: Wire,
    /// Who asks, where that is not the holder of the one token.
    app: Option<App>,
    token: Option<Secret>,
    base: Url,
    limits: HttpLimits,
}

/// One request at a time, as whoever signs it.
struct Wire {
    octocrab: Octocrab,
    host: String,
    accounts: Accounts,
    /// Who asks where nobody else signs.
    holder: Arc<Account>,
}

/// In whose name a request is sent.
#[derive(Clone, Copy)]
enum By<'a> {
    /// Whoever holds the one token, if there is one.
    Holder,
    /// Somebody with this header, for whose account it is counted.
    Other(&'a HeaderValue, &'a Arc<Account>),
}

impl Api {
    pub(crate) fn new(config: &GithubConfig) -> Result<Self, GithubError> {
        if config.app.is_some() && config.token.is_some() {
            return Err(GithubError::TwoAccounts(config.token_env.clone()));
        }
        Ok(Self {
            wire: Wire::new(config)?,
            app: config
                .app
                .as_ref()
                .map(|app| App::new(app, config))
                .transpose()?,
            token: config.token.clone(),
            base: config.api_url.clone(),
            limits: config.limits,
        })
    }

    /// Reads `route` of `repo`. Reading changes nothing, so it is tried again after a passing
    /// failure.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
    ) -> Result<T, Fault> {
        self.get_with(repo, route, &[]).await
    }

    /// [`Api::get`] with query parameters.
    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Fault> {
        Ok(self.get_with_headers(repo, route, query).await?.1)
    }

    /// [`Api::get_with`], with the headers of the answer.
    pub(crate) async fn get_with_headers<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<(HeaderMap, T), Fault> {
        let route = with_query(route, query);
        self.repeat(|| self.send(repo, Method::GET, &route, NO_BODY))
            .await
    }

    /// Reads what is good to know and can be done without, so it is asked for once.
    pub(crate) async fn look_up<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Fault> {
        let route = with_query(route, query);
        let (_, found) = self.send(repo, Method::GET, &route, NO_BODY).await?;
        Ok(found)
    }

    /// Reads a route that belongs to no repository we know. An App has no right there beyond
    /// everybody's.
    pub(crate) async fn get_anywhere<T: DeserializeOwned>(&self, route: &str) -> Result<T, Fault> {
        let (_, found) = self
            .repeat(|| self.wire.send(Method::GET, route, NO_BODY, By::Holder))
            .await?;
        Ok(found)
    }

    /// One request as the App itself, and the headers of the answer. Nothing is asked without an App.
    pub(crate) async fn as_the_app<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        query: &[(&str, &str)],
    ) -> Result<(HeaderMap, T), Fault> {
        let Some(app) = &self.app else {
            return Err(Fault::Nonsense(
                "there is no GitHub App to ask as".to_owned(),
            ));
        };
        let route = with_query(route, query);
        app.as_itself(&self.wire, method, &route).await
    }

    /// Creates something, once: whoever calls this must look for the effect before calling again.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let (_, created) = self.send(repo, Method::POST, route, Some(body)).await?;
        Ok(created)
    }

    /// Has GraphQL change something, once: whoever calls this must look for the effect before calling again.
    pub(crate) async fn mutate_once<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let sent = self.send(repo, Method::POST, graphql::ROUTE, Some(body));
        let (_, answer): (_, Data<T>) = sent.await?;
        Ok(answer.data)
    }

    /// Sets something to a given value. The same twice is the same as once, so it is tried again.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let (_, changed) = self
            .repeat(|| self.send(repo, Method::PATCH, route, Some(body)))
            .await?;
        Ok(changed)
    }

    /// The token that git works on `repo` with; `None` for an anonymous caller.
    pub(crate) async fn token(&self, repo: &Repo) -> Result<Option<Secret>, Fault> {
        let Some(app) = &self.app else {
            return Ok(self.token.clone());
        };
        // Git does not tell us that a token was revoked, so it is tried here first.
        let route = repo.path("");
        match self
            .send::<IgnoredAny>(repo, Method::GET, &route, NO_BODY)
            .await
        {
            Err(fault @ Fault::App(_)) => return Err(fault),
            Err(fault) => tracing::info!(%fault, %repo, "the token could not be tried"),
            Ok(_) => {}
        }
        let token = self.repeat(|| app.token(&self.wire, repo)).await?;
        Ok(Some(token.secret().clone()))
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

    /// How long a call waits by itself, for GitHub to take requests again or for something that it has under way.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.limits.longest_wait
    }

    /// The pause after the given attempt, where GitHub does not name one.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        self.limits.retry_delay * 2u32.saturating_pow(attempt.saturating_sub(1))
    }

    /// One request with the right to it. The token of an App is replaced when GitHub no longer takes
    /// it; what it refuses that way it has not carried out.
    async fn send<T: DeserializeOwned>(
        &self,
        repo: &Repo,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(HeaderMap, T), Fault> {
        let Some(app) = &self.app else {
            return self.wire.send(method, route, body, By::Holder).await;
        };
        let token = app.token(&self.wire, repo).await?;
        let with = |token: Arc<Token>| {
            let method = method.clone();
            async move { self.wire.send(method, route, body, token.by()).await }
        };
        match with(Arc::clone(&token)).await {
            Err(fault) if fault.reason() == Some(&Reason::BadToken) => {}
            answer => return answer,
        }
        app.forget(&self.wire, repo, &token).await;
        let answer = with(app.token(&self.wire, repo).await?).await;
        answer.map_err(|fault| match fault.reason() {
            Some(Reason::BadToken) => {
                let repo = repo.to_string();
                AppFault::Refused { repo }.into()
            }
            _ => fault,
        })
    }

    /// Asks until there is an answer, or a failure that does not pass.
    async fn repeat<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.pause(&fault, attempt).await.ok_or(fault)?,
            }
            attempt += 1;
        }
    }
}

impl Wire {
    fn new(config: &GithubConfig) -> Result<Self, GithubError> {
        let (accounts, host) = (config.accounts.clone(), config.api_url.to_string());
        let token = config.token.as_ref();
        let who = token.map_or(Who::Anonymous, |token| Who::Token(token.expose()));
        Ok(Self {
            octocrab: transport::connect(config)?,
            holder: accounts.account(&host, who),
            host,
            accounts,
        })
    }

    fn account(&self, who: Who<'_>) -> Arc<Account> {
        self.accounts.account(&self.host, who)
    }

    /// Sends one request to `route` of the API.
    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
        by: By<'_>,
    ) -> Result<(HeaderMap, T), Fault> {
        let request = Request::builder().method(method).uri(route);
        let request = match by {
            By::Holder => request.extension(Arc::clone(&self.holder)),
            By::Other(authorization, account) => request
                .header(AUTHORIZATION, authorization)
                .extension(Arc::clone(account)),
        };
        let request = self.octocrab.build_request(request, body)?;
        read(self.octocrab.execute(request).await).await
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

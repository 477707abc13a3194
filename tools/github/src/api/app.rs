//! A GitHub App as the account: a token for each repository, which can do no more than is needed.

mod fault;
mod grant;
mod key;
mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;

pub(crate) use self::fault::AppFault;
use self::grant::Granter;
pub(super) use self::slot::Token;
use self::slot::{Answer, Slot};
use super::account::Who;
use super::{Fault, NO_BODY, Wire};
use crate::config::{AppConfig, GithubConfig};
use crate::error::GithubError;
use crate::repository::Repo;

/// How many tokens are kept: one for each repository that runs work on.
const MAX_REPOSITORIES: usize = 1024;

/// A GitHub App at one host.
pub(super) struct App {
    granter: Granter,
    /// Who it is, with which key and for which rights.
    realm: String,
}

/// The tokens of GitHub Apps, one for each repository, which all runs share.
#[derive(Default)]
pub(super) struct Slots(Mutex<HashMap<String, Arc<Slot>>>);

impl App {
    pub(super) fn new(app: &AppConfig, config: &GithubConfig) -> Result<Self, GithubError> {
        let account = config
            .accounts
            .account(config.api_url.as_str(), Who::App(&app.id));
        // Another key is another one: a token that it would not be given is not given out.
        let key = config.accounts.fingerprint(app.key.expose());
        Ok(Self {
            realm: format!(
                "{} {} {key} {} {}",
                config.api_url, app.id, app.workflows, app.talks
            ),
            granter: Granter::new(app, account)?,
        })
    }

    /// A token that is good for `repo` alone, and for a while.
    pub(super) async fn token(&self, wire: &Wire, repo: &Repo) -> Answer {
        let slot = self.slot(wire, repo);
        slot.token(|| self.granter.grant(wire, repo)).await
    }

    /// One request as the App itself.
    pub(super) async fn as_itself<T: DeserializeOwned>(
        &self,
        wire: &Wire,
        method: Method,
        route: &str,
    ) -> Result<(HeaderMap, T), Fault> {
        self.granter.ask(wire, method, route, NO_BODY).await
    }

    /// Forgets `token`, which GitHub no longer takes, unless another one has taken its place.
    pub(super) async fn forget(&self, wire: &Wire, repo: &Repo, token: &Arc<Token>) {
        self.slot(wire, repo).forget(token).await;
    }

    fn slot(&self, wire: &Wire, repo: &Repo) -> Arc<Slot> {
        let repo = repo.to_string().to_ascii_lowercase();
        wire.accounts.slots().of(format!("{} {repo}", self.realm))
    }
}

impl Slots {
    fn of(&self, name: String) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_REPOSITORIES && !slots.contains_key(&name) {
            slots.clear();
        }
        Arc::clone(slots.entry(name).or_default())
    }
}

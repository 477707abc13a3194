//! A GitHub App as the account: a token for each repository, which can do no more than is needed.

mod fault;
mod grant;
mod key;
mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::fault::AppFault;
use self::grant::Granter;
pub(super) use self::slot::Token;
use self::slot::{Answer, Slot};
use super::Wire;
use crate::config::AppConfig;
use crate::error::GithubError;
use crate::repository::Repo;

/// A tool server serves the repository of a run; more than this are not remembered.
const MAX_REPOSITORIES: usize = 64;

/// The tokens of a GitHub App, one for each repository.
pub(super) struct App {
    granter: Granter,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl App {
    pub(super) fn new(config: &AppConfig) -> Result<Self, GithubError> {
        Ok(Self {
            granter: Granter::new(config)?,
            slots: Mutex::default(),
        })
    }

    /// A token that is good for `repo` alone, and for a while.
    pub(super) async fn token(&self, wire: &Wire, repo: &Repo) -> Answer {
        let slot = self.slot(repo);
        slot.token(|| self.granter.grant(wire, repo)).await
    }

    /// Forgets `token`, which GitHub no longer takes, unless another one has taken its place.
    pub(super) async fn forget(&self, repo: &Repo, token: &Arc<Token>) {
        self.slot(repo).forget(token).await;
    }

    fn slot(&self, repo: &Repo) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let name = repo.to_string().to_ascii_lowercase();
        if slots.len() >= MAX_REPOSITORIES && !slots.contains_key(&name) {
            slots.clear();
        }
        Arc::clone(slots.entry(name).or_default())
    }
}

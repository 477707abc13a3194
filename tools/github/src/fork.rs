//! The account's fork of a repository, for changes that are not pushed to the repository itself.
//!
//! GitHub answers before it has copied anything, so a new fork is looked at until it can be pushed to. It gives
//! an account one fork of a repository, and answers with that one when another is asked for.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgeRepository, Forked};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::time::{Duration, Instant, sleep};

use crate::api::{Fault, Reason};
use crate::github::{Account, Github, TokenKind, structured, until_cancelled};
use crate::later::later;
use crate::model::{Repository, User};
use crate::repository::{Repo, segments};

/// How many of the longest waits a new fork may take; GitHub says that it may be five minutes.
const MAX_WAITS: u32 = 5;

/// The longest pause between two looks at a new fork.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Why there is no fork.
enum NoFork {
    /// None can be made.
    Refused(Refusal),
    /// GitHub could not be asked.
    Failed { doing: String, fault: Fault },
    /// It is not ready yet, after this time.
    Unready { fork: Repo, waited: Duration },
}

impl From<Refusal> for NoFork {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Branches other than the default one are not needed: what is pushed brings its history.
#[derive(Serialize)]
struct NewFork {
    default_branch_only: bool,
}

impl Account {
    /// Why the account cannot propose from a fork, with the remedy.
    pub(crate) fn cannot_fork(&self) -> Option<String> {
        let own = "a fork belongs to a user: set a classic token with the scope `public_repo` (`repo` for private \
                   repositories) of one";
        match self {
            Self::Anonymous { variable } => Some(format!(
                "no GitHub token: set {variable} to a classic one with the scope `public_repo`"
            )),
            Self::App { id, .. } => Some(format!(
                "the GitHub App {id} cannot fork a repository and propose from there; {own}"
            )),
            Self::Token { variable, kind } => match kind {
                TokenKind::FineGrained => Some(format!(
                    "the token in {variable} is a fine-grained one, which cannot propose to a repository outside of \
                     its own account; {own}"
                )),
                TokenKind::Installation => Some(format!(
                    "the token in {variable} is one of a GitHub App, which cannot fork; {own}"
                )),
                TokenKind::Other => None,
            },
        }
    }
}

impl Github {
    /// Finds the fork, or makes it and waits until it can be pushed to.
    pub(crate) async fn fork(
        self: Arc<Self>,
        repository: ForgeRepository,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&repository)?;
        if let Some(reason) = self.account.cannot_fork() {
            return Err(Refusal::new(reason));
        }
        until_cancelled(&call, async {
            let (fork, is_new) = match self.find_or_make_fork(&repo).await {
                Ok(found) => found,
                Err(NoFork::Refused(refusal)) => return Err(refusal),
                Err(NoFork::Failed { doing, fault }) => return self.failed(&doing, &fault),
                Err(NoFork::Unready { fork, waited }) => {
                    return later(unready(&fork, waited), waited, false);
                }
            };
            structured(&Forked {
                repository: ForgeRepository {
                    owner: fork.owner,
                    name: fork.name,
                    ..repository
                },
                is_new,
            })
        })
        .await
    }

    async fn find_or_make_fork(&self, repo: &Repo) -> Result<(Repo, bool), NoFork> {
        let failed = |fault: Fault| NoFork::Failed {
            doing: format!("forking {repo}"),
            fault,
        };
        let user: User = self.api.get(repo, "/user").await.map_err(failed)?;
        if user.login.eq_ignore_ascii_case(&repo.owner) {
            return Err(NoFork::Refused(Refusal::new(format!(
                "{repo} is {}'s own, and an account cannot fork its own repository: use the token of another \
                 account, or publish as a branch",
                user.login
            ))));
        }
        if let Some(fork) = self.usual_fork(repo, &user).await.map_err(failed)? {
            // It may have been asked for a moment ago, by a call that could not wait for it.
            self.wait_for(repo, &fork).await?;
            return Ok((fork, false));
        }
        let new = NewFork {
            default_branch_only: true,
        };
        let made = self.post_repeatedly(repo, &repo.path("/forks"), &new).await;
        let made: Repository = made.map_err(failed)?;
        let fork = fork_name(&made, repo)?;
        self.wait_for(repo, &fork).await?;
        Ok((fork, true))
    }

    /// The fork of the usual name, if there is one. Another repository may have that name.
    async fn usual_fork(&self, repo: &Repo, user: &User) -> Result<Option<Repo>, Fault> {
        let Ok(usual) = Repo::parse(&user.login, &repo.name) else {
            return Ok(None);
        };
        match self.api.get::<Repository>(repo, &usual.path("")).await {
            Ok(found) if found.is_fork_of(repo) && usual.is(&found.full_name) => Ok(Some(usual)),
            Ok(_) => Ok(None),
            Err(fault) => match fault.reason() {
                Some(Reason::NotFound | Reason::Moved { .. }) => Ok(None),
                _ => Err(fault),
            },
        }
    }

    /// Looks at a new fork until its default branch is there.
    async fn wait_for(&self, repo: &Repo, fork: &Repo) -> Result<(), NoFork> {
        let longest = self.api.longest_wait() * MAX_WAITS;
        let until = Instant::now() + longest;
        let mut attempt = 1;
        loop {
            match self.look_at_fork(repo, fork).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(fault) if is_not_there_yet(&fault) => {}
                Err(fault) => {
                    let doing = format!("looking at the fork {fork}");
                    return Err(NoFork::Failed { doing, fault });
                }
            }
            if Instant::now() >= until {
                let fork = fork.clone();
                return Err(NoFork::Unready {
                    fork,
                    waited: longest,
                });
            }
            sleep(self.api.backoff(attempt).min(MAX_PAUSE)).await;
            attempt += 1;
        }
    }

    /// Whether the fork can be pushed to.
    async fn look_at_fork(&self, repo: &Repo, fork: &Repo) -> Result<bool, Fault> {
        let found: Repository = self.api.get(repo, &fork.path("")).await?;
        let Some(branch) = &found.default_branch else {
            return Ok(false);
        };
        let route = fork.path(format_args!("/git/ref/heads/{}", segments(branch)));
        self.api.get::<IgnoredAny>(repo, &route).await.map(|_| true)
    }
}

fn unready(fork: &Repo, waited: Duration) -> Refusal {
    Refusal::new(format!(
        "GitHub has not finished the fork {fork} within {} s; try again later",
        waited.as_secs()
    ))
}

/// The name of what GitHub says is the fork.
fn fork_name(made: &Repository, repo: &Repo) -> Result<Repo, Refusal> {
    let parts = made.full_name.split_once('/');
    let name = parts.and_then(|(owner, name)| Repo::parse(owner, name).ok());
    match name {
        Some(name) if made.is_fork_of(repo) => Ok(name),
        _ => Err(Refusal::new(format!(
            "GitHub answers with {} as the fork of {repo}, but it is no fork of that: rename or remove it",
            made.full_name.escape_debug()
        ))),
    }
}

/// A repository that is being copied is not there, or empty.
fn is_not_there_yet(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refused) => refused.reason == Reason::NotFound || refused.status == 409,
        _ => false,
    }
}

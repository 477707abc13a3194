//! What the token may do in a repository, asked before any work is done.

use std::sync::Arc;

use http::HeaderMap;
use pullwright_tool_kit::protocol::forge::{ForgePreflight, Preflight};
use pullwright_tool_kit::{Call, Output, Refusal};
use url::Url;

use crate::api::{Fault, Reason};
use crate::github::{Account, Github, structured, until_cancelled};
use crate::model::Repository;
use crate::repository::Repo;
use crate::rules::Ruled;

/// Says which scopes a classic token has; other kinds of token send no such header.
const SCOPES_HEADER: &str = "x-oauth-scopes";
/// What a classic token needs to push files under `.github/workflows`.
const WORKFLOW_SCOPE: &str = "workflow";

impl Github {
    /// Looks at the repository with the rights of the token.
    pub(crate) async fn preflight(
        self: Arc<Self>,
        asked: ForgePreflight,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&asked.repository)?;
        until_cancelled(&call, async {
            match self.api.get_with_headers(&repo, &repo.path(""), &[]).await {
                Ok((headers, found)) => {
                    structured(&self.judge(&repo, &headers, found, &asked).await?)
                }
                Err(fault) => self.refused(self.cannot_see(&repo, &fault).await, &fault),
            }
        })
        .await
    }

    async fn judge(
        &self,
        repo: &Repo,
        headers: &HeaderMap,
        found: Repository,
        asked: &ForgePreflight,
    ) -> Result<Preflight, Refusal> {
        if !repo.is(&found.full_name) {
            return Err(self.renamed(repo, &found.full_name));
        }
        let Some(default_branch) = found.default_branch.clone() else {
            return Err(Refusal::new(format!(
                "{repo} has no default branch: push a first commit to it"
            )));
        };
        let mut obstacles = self.obstacles(repo, headers, &found);
        let ruled = match found.archived || found.disabled {
            true => Ruled::default(),
            false => {
                let base = asked.base.as_ref().unwrap_or(&default_branch);
                let push = asked.push.as_ref().filter(|_| obstacles.is_empty());
                self.ruled(repo, base, push).await
            }
        };
        obstacles.extend(ruled.obstacles);
        let why_no_fork = self.why_no_fork(repo, headers, &found);
        Ok(Preflight {
            can_push: obstacles.is_empty(),
            why_no_push: (!obstacles.is_empty()).then(|| obstacles.join("; ")),
            can_fork: why_no_fork.is_none(),
            why_no_fork,
            why_no_workflows: self.why_no_workflows(headers),
            merge_needs: ruled.merge_needs,
            warnings: obstacles.into_iter().chain(ruled.warnings).collect(),
            default_branch,
            archived: found.archived,
            private: found.private,
            size_kib: found.size,
        })
    }

    /// What keeps us from pushing a branch, each with its remedy.
    fn obstacles(&self, repo: &Repo, headers: &HeaderMap, found: &Repository) -> Vec<String> {
        let mut obstacles = Vec::new();
        if found.archived {
            obstacles.push(format!(
                "{repo} is archived, so it takes no changes: unarchive it"
            ));
        }
        if found.disabled {
            obstacles.push(format!(
                "GitHub has disabled {repo}: its owner must ask GitHub why"
            ));
        }
        obstacles.extend(self.missing_right(repo, headers, found));
        obstacles
    }

    /// What the account may not do here. An App was granted all it needs when it has a token, and
    /// what GitHub shows it as its rights are a user's.
    fn missing_right(
        &self,
        repo: &Repo,
        headers: &HeaderMap,
        found: &Repository,
    ) -> Option<String> {
        let env = match &self.account {
            Account::App { .. } => return None,
            Account::Anonymous { variable } => {
                return Some(format!(
                    "no GitHub token: set {variable} to one with the rights Contents and Pull \
                     requests: read and write on {repo}"
                ));
            }
            Account::Token { variable, .. } => variable,
        };
        if !found.permissions.as_ref().is_some_and(|rights| rights.push) {
            return Some(format!(
                "the token in {env} cannot push to {repo}: give it Contents and Pull requests: \
                 read and write there, or use the token of somebody with write access"
            ));
        }
        let scopes = missing_scope(headers, found.private)?;
        Some(format!(
            "the token in {env} has the scopes [{scopes}] only, so it cannot push to {repo}: add \
             the scope `{}`",
            needed_scope(found.private)
        ))
    }

    /// What keeps us from proposing from a fork, as far as it is known without making one.
    fn why_no_fork(&self, repo: &Repo, headers: &HeaderMap, found: &Repository) -> Option<String> {
        if found.archived || found.disabled {
            return Some(format!("{repo} takes no changes"));
        }
        if found.allow_forking == Some(false) {
            return Some(format!(
                "{repo} allows no forks: its owner can allow them in its settings, or those of the organisation"
            ));
        }
        if let Some(reason) = self.account.cannot_fork() {
            return Some(reason);
        }
        let scopes = missing_scope(headers, found.private)?;
        Some(format!(
            "{} has the scopes [{scopes}] only, so it cannot fork {repo}: add the scope `{}`",
            self.account,
            needed_scope(found.private)
        ))
    }

    /// What keeps us from pushing files under `.github/workflows`. GitHub does not say what a fine-grained token may.
    fn why_no_workflows(&self, headers: &HeaderMap) -> Option<String> {
        match &self.account {
            Account::App { id, workflows } => (!workflows).then(|| {
                format!(
                    "the GitHub App {id} does not ask for the right Workflows: write `app_workflows = true`, and \
                     grant it that right"
                )
            }),
            Account::Anonymous { .. } => None,
            Account::Token { variable, .. } => {
                let scopes = scopes(headers)?;
                (!has_scope(scopes, WORKFLOW_SCOPE)).then(|| {
                    format!("the token in {variable} has not the scope `{WORKFLOW_SCOPE}`: add it")
                })
            }
        }
    }

    /// Why the repository cannot be looked at; after a rename, with the new name.
    async fn cannot_see(&self, repo: &Repo, fault: &Fault) -> Refusal {
        if let Some(Reason::Moved { location }) = fault.reason()
            && let Some(name) = self.new_name(location.as_deref()).await
        {
            return self.renamed(repo, &name);
        }
        self.refusal(&format!("looking at {}", self.page(repo)), fault)
    }

    fn renamed(&self, repo: &Repo, name: &str) -> Refusal {
        let origin = self.page(repo);
        let origin = origin.trim_end_matches(&repo.to_string());
        Refusal::new(format!("{repo} was renamed to {name}: use {origin}{name}"))
    }

    /// The name at the place a renamed repository went to. Only the path of that place is used, so
    /// that the token stays with the API.
    async fn new_name(&self, location: Option<&str>) -> Option<String> {
        let location = location?;
        let path = match Url::parse(location) {
            Ok(url) => self.api.route_of(&url)?,
            Err(_) => location.to_owned(),
        };
        // An App is told where it would be installed.
        let path = path.strip_suffix("/installation").unwrap_or(&path);
        let found: Repository = self.api.get_anywhere(path).await.ok()?;
        Some(found.full_name)
    }
}

/// The scopes of a classic token that has not the one that is needed.
fn missing_scope(headers: &HeaderMap, private: bool) -> Option<String> {
    let scopes = scopes(headers)?;
    let is_enough = has_scope(scopes, "repo") || has_scope(scopes, needed_scope(private));
    (!is_enough).then(|| scopes.to_owned())
}

fn scopes(headers: &HeaderMap) -> Option<&str> {
    headers.get(SCOPES_HEADER)?.to_str().ok()
}

fn has_scope(scopes: &str, name: &str) -> bool {
    scopes.split(',').any(|scope| scope.trim() == name)
}

fn needed_scope(private: bool) -> &'static str {
    if private { "repo" } else { "public_repo" }
}

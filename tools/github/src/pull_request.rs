//! Opening a pull request exactly once, or bringing the one that is open up to date.

use std::sync::Arc;

use pullwright_tool_kit::protocol::RunId;
use pullwright_tool_kit::protocol::forge::{
    ForgeBranch, ForgeRepository, FoundPullRequest, OpenPullRequest, OpenedPullRequest,
};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::Serialize;

use crate::api::{Fault, MAX_ATTEMPTS, Reason};
use crate::description::{Ours, description, is_all_ours, is_of_run, new_description, title};
use crate::github::{Github, structured, until_cancelled};
use crate::model::Pull;
use crate::repository::Repo;

/// A branch name longer than this is no branch of ours and would make an endless URL.
const MAX_BRANCH_BYTES: usize = 244;
/// GitHub's word for a head branch that has a pull request already.
const EXISTS: &str = "already exists";

impl Github {
    /// Opens the pull request, or updates the open one of the same branch.
    pub(crate) async fn pull_request(
        self: Arc<Self>,
        wanted: OpenPullRequest,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&wanted.repository)?;
        for branch in [&wanted.head, &wanted.base] {
            check_branch(branch)?;
        }
        until_cancelled(&call, async {
            let head = self.head(&repo, &wanted.head, wanted.head_repository.as_ref())?;
            match self.open_or_update(&repo, &head, &wanted).await {
                Ok(opened) => structured(&told(opened)),
                Err(fault) => {
                    let doing = format!(
                        "opening the pull request from {} to {} on {repo}",
                        head.named_from(&repo),
                        wanted.base
                    );
                    self.failed(&doing, &fault)
                }
            }
        })
        .await
    }

    /// The open pull request of a branch, if there is one.
    pub(crate) async fn find_pull_request(
        self: Arc<Self>,
        wanted: ForgeBranch,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&wanted.repository)?;
        check_branch(&wanted.head)?;
        until_cancelled(&call, async {
            let head = self.head(&repo, &wanted.head, wanted.head_repository.as_ref())?;
            match self.find_open(&repo, &head, None).await {
                Ok(found) => structured(&FoundPullRequest {
                    open: found.map(told),
                }),
                Err(fault) => {
                    let doing = format!("looking for the pull request from {}", head.qualified());
                    self.failed(&doing, &fault)
                }
            }
        })
        .await
    }

    /// The branch to merge, of the repository itself or of a fork of it.
    fn head(
        &self,
        repo: &Repo,
        branch: &str,
        fork: Option<&ForgeRepository>,
    ) -> Result<Head, Refusal> {
        Ok(Head {
            repo: match fork {
                Some(fork) => self.repo(fork)?,
                None => repo.clone(),
            },
            branch: branch.to_owned(),
        })
    }

    async fn open_or_update(
        &self,
        repo: &Repo,
        head: &Head,
        wanted: &OpenPullRequest,
    ) -> Result<Pull, Fault> {
        match self.find_open(repo, head, wanted.run.as_ref()).await? {
            Some(open) => self.update(repo, &open, wanted).await,
            None => self.open(repo, head, wanted).await,
        }
    }

    /// Creates it. After every failure that may have created it all the same, it is looked for
    /// before it is tried again.
    async fn open(
        &self,
        repo: &Repo,
        head: &Head,
        wanted: &OpenPullRequest,
    ) -> Result<Pull, Fault> {
        let run = wanted.run.as_ref();
        let mut new = NewPull {
            title: title(&wanted.title),
            body: new_description(wanted.template.as_deref(), ours(wanted)),
            head: head.named_from(repo),
            head_repo: head.repository_named_from(repo),
            base: &wanted.base,
            draft: wanted.draft,
            maintainer_can_modify: true,
        };
        let mut attempt = 1;
        loop {
            let fault = match self.api.post_once(repo, &repo.path("/pulls"), &new).await {
                Ok(pull) => return Ok(pull),
                Err(fault) => fault,
            };
            if new.draft && refuses_drafts(&fault) {
                new.draft = false;
                continue;
            }
            let exists = says(&fault, EXISTS);
            // Before the pause as well as after it: only the last look is sure, but an early one
            // saves the wait.
            if (exists || fault.may_have_applied())
                && let Some(open) = self.find_open(repo, head, run).await?
            {
                return self.update(repo, &open, wanted).await;
            }
            if exists {
                return Err(fault);
            }
            self.pause_before_retry(&fault, attempt)
                .await
                .ok_or_else(|| fault.clone())?;
            if fault.may_have_applied()
                && let Some(open) = self.find_open(repo, head, run).await?
            {
                return self.update(repo, &open, wanted).await;
            }
            attempt += 1;
        }
    }

    /// Right after a push GitHub may not know the branch yet, so that refusal passes too.
    async fn pause_before_retry(&self, fault: &Fault, attempt: u32) -> Option<()> {
        if !is_unknown_branch(fault) {
            return self.api.pause(fault, attempt).await;
        }
        if attempt >= MAX_ATTEMPTS {
            return None;
        }
        tokio::time::sleep(self.api.backoff(attempt)).await;
        Some(())
    }

    /// The open pull request from `head`: of several, to one base each, the one that `run` has opened.
    async fn find_open(
        &self,
        repo: &Repo,
        head: &Head,
        run: Option<&RunId>,
    ) -> Result<Option<Pull>, Fault> {
        let qualified = head.qualified();
        let query = [("state", "open"), ("head", &qualified), ("per_page", "100")];
        let open: Vec<Pull> = self
            .api
            .get_with(repo, &repo.path("/pulls"), &query)
            .await?;
        // Some servers ignore a `head` they do not understand and list everything.
        let is_ours = |pull: &Pull| {
            let from = pull.head.repo.as_ref();
            pull.head.branch == head.branch
                && from.is_some_and(|from| head.repo.is(&from.full_name))
        };
        let is_of_run = |pull: &Pull| run.is_some_and(|run| is_of_run(pull.body.as_deref(), run));
        let mut ours: Vec<Pull> = open.into_iter().filter(is_ours).collect();
        let best = ours.iter().position(is_of_run).unwrap_or(0);
        Ok((!ours.is_empty()).then(|| ours.swap_remove(best)))
    }

    /// Replaces our own part of the description. Words of people stay, and so do a title that somebody else
    /// gave and the branch that it is to be merged into, which people may have chosen anew.
    async fn update(
        &self,
        repo: &Repo,
        open: &Pull,
        wanted: &OpenPullRequest,
    ) -> Result<Pull, Fault> {
        let theirs = open.body.as_deref();
        let changed = ChangedPull {
            title: is_all_ours(theirs).then(|| title(&wanted.title)),
            body: description(theirs, ours(wanted)),
        };
        let route = repo.path(format_args!("/pulls/{}", open.number));
        self.api.patch(repo, &route, &changed).await
    }
}

fn ours(wanted: &OpenPullRequest) -> Ours<'_> {
    Ours {
        run: wanted.run.as_ref(),
        summary: &wanted.summary,
        evidence: &wanted.evidence,
    }
}

/// A branch that is proposed.
struct Head {
    repo: Repo,
    branch: String,
}

impl Head {
    fn qualified(&self) -> String {
        format!("{}:{}", self.repo.owner, self.branch)
    }

    /// How a pull request to `repo` names it.
    fn named_from(&self, repo: &Repo) -> String {
        match repo.is(&self.repo.to_string()) {
            true => self.branch.clone(),
            false => self.qualified(),
        }
    }

    /// The name of its repository, where its owner alone does not tell which it is.
    fn repository_named_from<'h>(&'h self, repo: &Repo) -> Option<&'h str> {
        let is_other = !repo.is(&self.repo.to_string());
        let is_alike = self.repo.owner.eq_ignore_ascii_case(&repo.owner);
        (is_other && is_alike).then_some(self.repo.name.as_str())
    }
}

fn told(pull: Pull) -> OpenedPullRequest {
    OpenedPullRequest {
        url: pull.html_url,
        number: pull.number,
        draft: pull.draft,
        base: Some(pull.base.branch),
    }
}

#[derive(Serialize)]
struct NewPull<'a> {
    title: String,
    body: String,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_repo: Option<&'a str>,
    base: &'a str,
    draft: bool,
    maintainer_can_modify: bool,
}

#[derive(Serialize)]
struct ChangedPull {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    body: String,
}

pub(crate) fn check_branch(branch: &str) -> Result<(), Refusal> {
    let odd = |char: char| char.is_control() || char.is_whitespace() || "~^:?*[\\".contains(char);
    if branch.is_empty() || branch.len() > MAX_BRANCH_BYTES || branch.contains(odd) {
        return Err(Refusal::new(format!(
            "`{}` is not a branch of this repository; give its name alone, such as `main`",
            branch.escape_debug()
        )));
    }
    Ok(())
}

/// Drafts exist only in public repositories and paid plans.
fn refuses_drafts(fault: &Fault) -> bool {
    says(fault, "draft")
}

/// Whether GitHub does not accept the request's values, in words that hold `word`.
fn says(fault: &Fault, word: &str) -> bool {
    matches!(fault.reason(), Some(Reason::Invalid { .. }))
        && fault.to_string().to_ascii_lowercase().contains(word)
}

fn is_unknown_branch(fault: &Fault) -> bool {
    let Some(Reason::Invalid { errors }) = fault.reason() else {
        return false;
    };
    errors.iter().any(|error| {
        error.code.as_deref() == Some("invalid")
            && matches!(error.field.as_deref(), Some("head" | "base"))
    })
}

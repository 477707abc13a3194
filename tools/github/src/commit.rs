//! A commit that GitHub makes and signs, of files that it is given.
//!
//! The request names the commit that the branch must be at, so GitHub carries it out once at most. All the same it
//! is not repeated before the branch was looked at: what is there may be what it has made.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{CommitOnBranch, MadeCommit};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::{Deserialize, Serialize};

use crate::api::{Fault, MAX_ATTEMPTS, Reason};
use crate::github::{Github, until_cancelled};
use crate::pull_request::check_branch;
use crate::repository::{Repo, segments};

const MUTATION: &str = "mutation($input: CreateCommitOnBranchInput!) { \
    createCommitOnBranch(input: $input) { commit { oid } } }";

/// What a branch is at.
enum Head {
    /// The commit that is expected.
    Expected,
    /// A commit on that one, with this message.
    Made(String),
    /// Another one, or it is not there.
    Other,
}

impl Github {
    /// Makes the commit, or finds it made.
    pub(crate) async fn commit(
        self: Arc<Self>,
        wanted: CommitOnBranch,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&wanted.repository)?;
        check_branch(&wanted.branch)?;
        check_commit(&wanted.expected_head)?;
        until_cancelled(&call, async {
            let made = self.make_commit(&repo, &wanted).await;
            self.answer(made.map(|commit| MadeCommit { commit }), || {
                format!("committing to branch `{}` of {repo}", wanted.branch)
            })
        })
        .await
    }

    async fn make_commit(&self, repo: &Repo, wanted: &CommitOnBranch) -> Result<String, Fault> {
        let request = request(repo, wanted);
        let mut attempt = 1;
        loop {
            let fault = match self.api.mutate_once::<Mutated>(repo, &request).await {
                Ok(mutated) => return Ok(mutated.made.commit.oid),
                Err(fault) => fault,
            };
            let is_unknown = is_unknown_branch(&fault);
            if !is_unknown && !fault.may_have_applied() {
                self.api.pause(&fault, attempt).await.ok_or(fault)?;
                attempt += 1;
                continue;
            }
            match self.head_of(repo, wanted).await? {
                Head::Made(commit) => return Ok(commit),
                Head::Other if is_unknown => return Err(fault),
                Head::Expected if is_unknown => self.pause_for_branch(attempt).await,
                // GitHub itself says best what is wrong with it.
                Head::Expected | Head::Other => self.api.pause(&fault, attempt).await,
            }
            .ok_or(fault)?;
            attempt += 1;
        }
    }

    /// A branch that was just pushed may not be known everywhere at GitHub.
    async fn pause_for_branch(&self, attempt: u32) -> Option<()> {
        if attempt >= MAX_ATTEMPTS {
            return None;
        }
        tokio::time::sleep(self.api.backoff(attempt)).await;
        Some(())
    }

    async fn head_of(&self, repo: &Repo, wanted: &CommitOnBranch) -> Result<Head, Fault> {
        let route = repo.path(format_args!("/git/ref/heads/{}", segments(&wanted.branch)));
        let head: Reference = match self.api.get(repo, &route).await {
            Err(fault) if fault.reason() == Some(&Reason::NotFound) => return Ok(Head::Other),
            found => found?,
        };
        let sha = head.object.sha;
        if sha == wanted.expected_head {
            return Ok(Head::Expected);
        }
        let route = repo.path(format_args!("/git/commits/{sha}"));
        let commit: Commit = self.api.get(repo, &route).await?;
        let is_on_it = matches!(&commit.parents[..], [one] if one.sha == wanted.expected_head);
        let is_ours = is_on_it && commit.message.trim() == message(wanted).trim();
        Ok(match is_ours {
            true => Head::Made(sha),
            false => Head::Other,
        })
    }
}

#[derive(Serialize)]
struct Request<'a> {
    query: &'static str,
    variables: Variables<'a>,
}

#[derive(Serialize)]
struct Variables<'a> {
    input: Input<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    branch: Branch<'a>,
    expected_head_oid: &'a str,
    message: Message<'a>,
    file_changes: FileChanges<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Branch<'a> {
    repository_name_with_owner: String,
    branch_name: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    headline: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    body: &'a str,
}

#[derive(Serialize)]
struct FileChanges<'a> {
    additions: Vec<Addition<'a>>,
    deletions: Vec<Deletion<'a>>,
}

#[derive(Serialize)]
struct Addition<'a> {
    path: &'a str,
    contents: &'a str,
}

#[derive(Serialize)]
struct Deletion<'a> {
    path: &'a str,
}

/// What GitHub answers to the mutation.
#[derive(Deserialize)]
struct Mutated {
    #[serde(rename = "createCommitOnBranch")]
    made: Made,
}

#[derive(Deserialize)]
struct Made {
    commit: Oid,
}

#[derive(Deserialize)]
struct Oid {
    oid: String,
}

#[derive(Deserialize)]
struct Reference {
    object: Object,
}

#[derive(Deserialize)]
struct Commit {
    message: String,
    parents: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

fn request<'a>(repo: &Repo, wanted: &'a CommitOnBranch) -> Request<'a> {
    let additions = wanted.additions.iter().map(|file| Addition {
        path: &file.path,
        contents: &file.contents,
    });
    let deletions = wanted.deletions.iter().map(|path| Deletion { path });
    let input = Input {
        branch: Branch {
            repository_name_with_owner: repo.to_string(),
            branch_name: &wanted.branch,
        },
        expected_head_oid: &wanted.expected_head,
        message: Message {
            headline: &wanted.title,
            body: &wanted.body,
        },
        file_changes: FileChanges {
            additions: additions.collect(),
            deletions: deletions.collect(),
        },
    };
    Request {
        query: MUTATION,
        variables: Variables { input },
    }
}

fn message(wanted: &CommitOnBranch) -> String {
    format!("{}\n\n{}", wanted.title, wanted.body)
}

/// GitHub says that of a branch whose newest commit it does not know yet, too.
fn is_unknown_branch(fault: &Fault) -> bool {
    matches!(fault.reason(), Some(Reason::Stale | Reason::NotFound))
}

fn check_commit(commit: &str) -> Result<(), Refusal> {
    let is_hash =
        [40, 64].contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{}` is not a commit; give its whole hash",
        commit.escape_debug()
    )))
}

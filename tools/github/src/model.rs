//! The parts of GitHub's answers that are used. Everything that GitHub or an emulator of it may
//! leave out is optional.

use serde::Deserialize;

use crate::repository::Repo;

#[derive(Debug, Deserialize)]
pub(crate) struct Repository {
    pub(crate) full_name: String,
    pub(crate) default_branch: Option<String>,
    #[serde(default)]
    pub(crate) private: bool,
    #[serde(default)]
    pub(crate) archived: bool,
    #[serde(default)]
    pub(crate) disabled: bool,
    pub(crate) size: Option<u64>,
    pub(crate) permissions: Option<Permissions>,
    /// Absent where nobody may say otherwise.
    pub(crate) allow_forking: Option<bool>,
    #[serde(default)]
    pub(crate) fork: bool,
    /// What it was forked from.
    pub(crate) parent: Option<RepositoryName>,
    /// What that was forked from in the end.
    pub(crate) source: Option<RepositoryName>,
}

impl Repository {
    /// Whether it is a fork of `repo`, or of a fork of it.
    pub(crate) fn is_fork_of(&self, repo: &Repo) -> bool {
        let mut origins = [&self.parent, &self.source].into_iter().flatten();
        self.fork && origins.any(|origin| repo.is(&origin.full_name))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Permissions {
    #[serde(default)]
    pub(crate) push: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) login: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Label {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) state: String,
    pub(crate) state_reason: Option<String>,
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) labels: Vec<Label>,
    #[serde(default)]
    pub(crate) comments: u64,
    pub(crate) created_at: Option<String>,
    /// Present when the issue is a pull request.
    pub(crate) pull_request: Option<serde_json::Value>,
    pub(crate) repository_url: Option<String>,
}

/// A comment on an issue, a comment on a line of a pull request, or a review.
#[derive(Debug, Deserialize)]
pub(crate) struct Comment {
    pub(crate) user: Option<User>,
    pub(crate) body: Option<String>,
    #[serde(alias = "submitted_at")]
    pub(crate) created_at: Option<String>,
    /// The file, of a comment on a line.
    pub(crate) path: Option<String>,
    /// The line, of a comment on a line that still exists.
    pub(crate) line: Option<u64>,
    /// The verdict, of a review.
    pub(crate) state: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Pull {
    pub(crate) number: u64,
    pub(crate) html_url: String,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) draft: bool,
    #[serde(default)]
    pub(crate) merged: bool,
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) labels: Vec<Label>,
    pub(crate) created_at: Option<String>,
    pub(crate) head: PullEnd,
    pub(crate) base: PullEnd,
}

/// Where a pull request comes from or goes to.
#[derive(Debug, Deserialize)]
pub(crate) struct PullEnd {
    #[serde(rename = "ref")]
    pub(crate) branch: String,
    /// Absent when the fork is gone.
    pub(crate) repo: Option<RepositoryName>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RepositoryName {
    pub(crate) full_name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChangedFile {
    pub(crate) filename: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) additions: u64,
    #[serde(default)]
    pub(crate) deletions: u64,
    /// Absent for binary and very large files.
    pub(crate) patch: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    pub(crate) items: Vec<Issue>,
}

//! What a forge knows of the people and the conversations around a change. A forge may be without any of
//! these tools; what needs one is then left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ForgeRepository;

/// Role of the tool that takes [`ForgeUser`] and answers [`ForgePermission`]. Without it, nobody can start a
/// run by a word on the forge.
pub const PERMISSION_ROLE: &str = "forge.permission";
/// Role of the tool that takes [`ForgeComment`] and answers [`PostedComment`].
pub const COMMENT_ROLE: &str = "forge.comment";
/// Role of the tool that takes [`ForgeThread`] and answers [`PullRequestHead`].
pub const PULL_REQUEST_HEAD_ROLE: &str = "forge.pull_request_head";
/// Role of the tool that takes [`ForgeCommit`] and answers [`FailedChecks`].
pub const FAILED_CHECKS_ROLE: &str = "forge.failed_checks";
/// Role of the tool that takes [`ForgeCheckRun`] and answers [`PostedCheckRun`].
pub const CHECK_RUN_ROLE: &str = "forge.check_run";

/// Somebody, as far as a repository is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeUser {
    /// The repository.
    pub repository: ForgeRepository,
    /// The login.
    pub login: String,
}

/// What somebody may do in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgePermission {
    /// Whether they may push to it.
    pub can_write: bool,
}

/// An issue or a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeThread {
    /// The repository.
    pub repository: ForgeRepository,
    /// The number.
    pub number: u64,
}

/// A comment of our own to write, or to bring up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeComment {
    /// The repository.
    pub repository: ForgeRepository,
    /// The issue or pull request.
    pub number: u64,
    /// What tells this comment from all others; it does not show. Letters, digits, `:`, `-` and spaces.
    pub marker: String,
    /// The comment that it is known to be. One that is gone is not written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What it says, as Markdown: trusted.
    pub body: String,
    /// What it says in a model's words: untrusted, so the forge fences it. Nothing if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// A comment that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostedComment {
    /// Its id; absent where somebody has removed the comment that it was to bring up to date.
    pub id: Option<u64>,
}

/// Where a pull request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequestHead {
    /// Its branch.
    pub branch: String,
    /// Whether that is a branch of the repository itself, and not of a fork.
    pub is_own: bool,
    /// Whether it is open.
    pub is_open: bool,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeCommit {
    /// The repository.
    pub repository: ForgeRepository,
    /// Its hash.
    pub sha: String,
}

/// The checks of a commit that failed, as far as the forge tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedChecks {
    /// Each of them.
    pub checks: Vec<FailedCheck>,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedCheck {
    /// Its name.
    pub name: String,
    /// Its page, if it has one.
    pub url: Option<String>,
    /// What it says of the failure, shortened: untrusted.
    pub output: String,
}

/// A check of our own on a commit, to write or to bring up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeCheckRun {
    /// The commit.
    pub commit: ForgeCommit,
    /// What tells it from all others on the commit.
    pub external_id: String,
    /// Whether what it stands for went well.
    pub succeeded: bool,
    /// Its title, one line.
    pub title: String,
    /// What it says, as Markdown: trusted.
    pub summary: String,
}

/// A check of our own that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostedCheckRun {
    /// Its id; absent where the account may write none, since only Apps may.
    pub id: Option<u64>,
}

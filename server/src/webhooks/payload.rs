//! The parts of GitHub's payloads that are used. Whatever else is there is passed over, and whatever may be
//! absent is optional.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    pub(super) action: Option<String>,
    pub(super) label: Option<Label>,
    pub(super) issue: Option<Issue>,
    pub(super) comment: Option<Comment>,
    pub(super) review: Option<Review>,
    pub(super) pull_request: Option<PullRequest>,
    pub(super) check_suite: Option<Check>,
    pub(super) check_run: Option<Check>,
    pub(super) workflow_run: Option<Check>,
    pub(super) repository: Option<Repository>,
    pub(super) sender: Option<User>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    #[serde(default)]
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
    /// Present when the issue is a pull request.
    pub(super) pull_request: Option<PullRequestOfIssue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequestOfIssue {
    pub(super) html_url: Option<String>,
}

/// A comment on an issue or a pull request, or on a line of one.
#[derive(Debug, Deserialize)]
pub(super) struct Comment {
    pub(super) body: Option<String>,
    pub(super) path: Option<String>,
    pub(super) line: Option<u64>,
    pub(super) diff_hunk: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) body: Option<String>,
    pub(super) state: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    #[serde(default)]
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) html_url: Option<String>,
}

/// A check suite, a check run, or a run of a workflow.
#[derive(Debug, Deserialize)]
pub(super) struct Check {
    pub(super) head_sha: Option<String>,
    pub(super) conclusion: Option<String>,
    pub(super) external_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) full_name: String,
    pub(super) clone_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

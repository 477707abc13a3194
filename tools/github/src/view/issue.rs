//! One issue.

use std::fmt::Write as _;
use std::sync::Arc;

use pullwright_tool_kit::{Call, Output, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::quote::{author, date, labels, line, quote};
use super::{DATA_NOTE, answer};
use crate::github::{Github, until_cancelled};
use crate::model::Issue;
use crate::repository::Repo;

/// Shows an issue of this repository: its title, state, labels, text and first comments. A pull
/// request is an issue too; `pull` shows its changes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueArgs {
    /// The issue's number.
    number: u64,
}

impl Github {
    pub(crate) async fn issue(
        self: Arc<Self>,
        args: IssueArgs,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.run_repo(&call)?;
        until_cancelled(&call, async {
            let issue = self.read_issue(&repo, args.number).await?;
            let mut text = described(&repo, &issue);
            if issue.comments > 0 {
                let comments = self.issue_comments(&repo, args.number, "1").await?;
                let _ = writeln!(text, "\n{} comments, the first:\n", issue.comments);
                text.push_str(&comments);
            }
            Ok(answer(
                &text,
                "Use `comments` with a page to see them piece by piece.",
            ))
        })
        .await
    }

    pub(super) async fn read_issue(&self, repo: &Repo, number: u64) -> Result<Issue, Refusal> {
        let route = repo.path(format_args!("/issues/{number}"));
        let read = self.api.get(repo, &route).await;
        read.map_err(|fault| self.refusal(&format!("reading issue #{number} of {repo}"), &fault))
    }
}

fn described(repo: &Repo, issue: &Issue) -> String {
    let kind = if issue.pull_request.is_some() {
        "pull request"
    } else {
        "issue"
    };
    let state = match &issue.state_reason {
        Some(reason) => format!("{}, {}", line(&issue.state), line(reason)),
        None => line(&issue.state),
    };
    format!(
        "{kind} #{} of {repo} ({state}), by {}{}\n{}{DATA_NOTE}\n\ntitle:\n> {}\n\ntext:\n{}",
        issue.number,
        author(issue.user.as_ref()),
        date(issue.created_at.as_deref()),
        labels(&issue.labels),
        line(&issue.title),
        quote(issue.body.as_deref()),
    )
}

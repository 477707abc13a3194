//! The comments of an issue or a pull request.

use std::sync::Arc;

use pullwright_tool_kit::{Call, Output, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::quote::{author, date, line, quote};
use super::{DATA_NOTE, PAGE_SIZE, answer, page_of};
use crate::github::{Github, until_cancelled};
use crate::model::Comment;
use crate::repository::Repo;

/// Shows the comments of an issue or a pull request of this repository, oldest first, 30 a page;
/// for a pull request also the comments on lines of code.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommentsArgs {
    /// The number of the issue or pull request.
    number: u64,
    /// The page, from 1.
    page: Option<u32>,
}

impl Github {
    pub(crate) async fn comments(
        self: Arc<Self>,
        args: CommentsArgs,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.run_repo(&call)?;
        let page = page_of(args.page);
        until_cancelled(&call, async {
            let issue = self.read_issue(&repo, args.number).await?;
            let comments = self.issue_comments(&repo, args.number, &page).await?;
            let mut text = format!(
                "comments of #{} of {repo}, page {page}\n{DATA_NOTE}\n\n{comments}",
                args.number
            );
            if issue.pull_request.is_some() {
                let rest = format!("/pulls/{}/comments", args.number);
                let on_lines = self.comments_at(&repo, &rest, &page).await?;
                text.push_str(&format!("\ncomments on lines, page {page}\n\n{on_lines}"));
            }
            Ok(answer(&text, "The middle of this page is on GitHub only."))
        })
        .await
    }

    pub(super) async fn issue_comments(
        &self,
        repo: &Repo,
        number: u64,
        page: &str,
    ) -> Result<String, Refusal> {
        self.comments_at(repo, &format!("/issues/{number}/comments"), page)
            .await
    }

    /// One page of any of GitHub's three kinds of comment.
    pub(super) async fn comments_at(
        &self,
        repo: &Repo,
        rest: &str,
        page: &str,
    ) -> Result<String, Refusal> {
        let query = [("per_page", PAGE_SIZE), ("page", page)];
        let read: Result<Vec<Comment>, _> = self.api.get_with(repo, &repo.path(rest), &query).await;
        let comments = read.map_err(|fault| {
            self.refusal(&format!("reading the comments at {rest} of {repo}"), &fault)
        })?;
        if comments.is_empty() {
            return Ok("(none)\n".to_owned());
        }
        Ok(comments.iter().map(shown).collect())
    }
}

fn shown(comment: &Comment) -> String {
    let mut head = format!(
        "{}{}",
        author(comment.user.as_ref()),
        date(comment.created_at.as_deref())
    );
    if let Some(path) = &comment.path {
        let at = comment
            .line
            .map(|line| format!(":{line}"))
            .unwrap_or_default();
        head.push_str(&format!(" at {}{at}", line(path)));
    }
    if let Some(state) = &comment.state {
        head.push_str(&format!(" ({})", line(state).to_lowercase()));
    }
    format!("{head}:\n{}\n", quote(comment.body.as_deref()))
}

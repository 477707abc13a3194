//! One pull request.

use std::fmt::Write as _;
use std::sync::Arc;

use pullwright_tool_kit::{Call, Output, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::quote::{author, date, labels, line, quote};
use super::{DATA_NOTE, PAGE_SIZE, answer};
use crate::api::Fault;
use crate::github::{Github, until_cancelled};
use crate::model::{ChangedFile, Pull, PullEnd};
use crate::repository::Repo;

/// Shows a pull request of this repository: its title, state, branches, text, reviews and the
/// first changed files with their patches.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullArgs {
    /// The pull request's number.
    number: u64,
}

impl Github {
    pub(crate) async fn pull(
        self: Arc<Self>,
        args: PullArgs,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.run_repo(&call)?;
        let number = args.number;
        until_cancelled(&call, async {
            let pull_path = format!("/pulls/{number}");
            let failed = |fault: Fault| {
                self.refusal(&format!("reading pull request #{number} of {repo}"), &fault)
            };
            let pull: Pull = self
                .api
                .get(&repo, &repo.path(&pull_path))
                .await
                .map_err(failed)?;
            let files = repo.path(format_args!("{pull_path}/files"));
            let files: Vec<ChangedFile> = self
                .api
                .get_with(&repo, &files, &[("per_page", PAGE_SIZE)])
                .await
                .map_err(failed)?;
            let reviews = self
                .comments_at(&repo, &format!("{pull_path}/reviews"), "1")
                .await?;
            let text = format!(
                "{}\nreviews:\n{reviews}\nchanged files, the first {PAGE_SIZE}:\n{}",
                described(&repo, &pull),
                files.iter().map(changed).collect::<String>()
            );
            Ok(answer(
                &text,
                "Use `comments` for the discussion; the rest is on GitHub only.",
            ))
        })
        .await
    }
}

fn described(repo: &Repo, pull: &Pull) -> String {
    let state = match (pull.merged, pull.draft) {
        (true, _) => "merged".to_owned(),
        (false, true) => format!("{}, draft", line(&pull.state)),
        (false, false) => line(&pull.state),
    };
    format!(
        "pull request #{} of {repo} ({state}), by {}{}\nfrom {} to {}\n{}{DATA_NOTE}\n\ntitle:\n> \
         {}\n\ntext:\n{}",
        pull.number,
        author(pull.user.as_ref()),
        date(pull.created_at.as_deref()),
        end(&pull.head),
        end(&pull.base),
        labels(&pull.labels),
        line(&pull.title),
        quote(pull.body.as_deref()),
    )
}

fn end(end: &PullEnd) -> String {
    match &end.repo {
        Some(repo) => format!("{}:{}", line(&repo.full_name), line(&end.branch)),
        None => format!("{} of a deleted fork", line(&end.branch)),
    }
}

fn changed(file: &ChangedFile) -> String {
    let mut text = format!(
        "{} {} (+{} -{})\n",
        line(&file.status),
        line(&file.filename),
        file.additions,
        file.deletions
    );
    if let Some(patch) = &file.patch {
        let _ = writeln!(text, "{}", quote(Some(patch)));
    }
    text
}

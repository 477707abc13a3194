//! Where a pull request comes from.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgeThread, PullRequestHead};
use pullwright_tool_kit::{Call, Output, Refusal};

use crate::github::{Github, until_cancelled};
use crate::model::Pull;

impl Github {
    /// The branch of a pull request, and whose it is.
    pub(crate) async fn pull_request_head(
        self: Arc<Self>,
        thread: ForgeThread,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&thread.repository)?;
        let number = thread.number;
        until_cancelled(&call, async {
            let route = repo.path(format_args!("/pulls/{number}"));
            let pull = self.api.get::<Pull>(&repo, &route).await;
            let head = pull.map(|pull| PullRequestHead {
                is_own: pull.head.repo.is_some_and(|from| repo.is(&from.full_name)),
                is_open: pull.state == "open",
                branch: pull.head.branch,
            });
            self.answer(head, || format!("reading pull request #{number} of {repo}"))
        })
        .await
    }
}

//! Where a pull request comes from.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgeThread, PullRequestHead};
use pullwright_tool_kit::{Call, Output, Refusal};

use crate::github::{Github, structured, until_cancelled};
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
            let pull: Pull = self.api.get(&repo, &route).await.map_err(|fault| {
                self.refusal(&format!("reading pull request #{number} of {repo}"), &fault)
            })?;
            let from = pull.head.repo.as_ref();
            structured(&PullRequestHead {
                is_own: from.is_some_and(|from| repo.is(&from.full_name)),
                is_open: pull.state == "open",
                branch: pull.head.branch,
            })
        })
        .await
    }
}

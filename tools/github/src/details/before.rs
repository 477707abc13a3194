//! What a pull request got before, as GitHub's record of it has it: also what is no longer there.

use pullwright_tool_kit::protocol::forge::PullRequestDetails;
use serde::Deserialize;

use crate::model::{Label, User};

/// What was done to a young pull request.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Before(Vec<Done>);

#[derive(Deserialize)]
struct Done {
    event: String,
    label: Option<Label>,
    assignee: Option<User>,
    requested_reviewer: Option<User>,
    requested_team: Option<Team>,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
}

impl Before {
    /// Leaves what was put there.
    pub(super) fn leave_out_of(&self, wanted: &mut PullRequestDetails) {
        self.leave_out("labeled", &mut wanted.labels, |done| {
            done.label.as_ref().map(|label| label.name.as_str())
        });
        self.leave_out("assigned", &mut wanted.assignees, |done| {
            done.assignee.as_ref().map(|user| user.login.as_str())
        });
        self.leave_out("review_requested", &mut wanted.reviewers, |done| {
            let reviewer = done.requested_reviewer.as_ref();
            reviewer.map(|user| user.login.as_str())
        });
        self.leave_out("review_requested", &mut wanted.team_reviewers, |done| {
            done.requested_team.as_ref().map(|team| team.slug.as_str())
        });
    }

    fn leave_out(
        &self,
        event: &str,
        names: &mut Vec<String>,
        name_in: impl Fn(&Done) -> Option<&str>,
    ) {
        names.retain(|name| {
            let is_it = |there: &str| there.eq_ignore_ascii_case(name);
            let mut done = self.0.iter().filter(|done| done.event == event);
            !done.any(|done| name_in(done).is_some_and(is_it))
        });
    }
}

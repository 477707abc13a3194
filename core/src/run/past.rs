//! What a run's earlier owners did of it, as its log has it.

mod fold;
mod spent;

use std::collections::BTreeSet;
use std::time::Duration;

use pullwright_protocol::{CheckReport, Followed, Outcome, Provenance, RunRequest, Stage};

use super::catch_up::Pushing;
use super::detect::Commands;
use crate::agent::LastReply;
use crate::conversation::Conversation;
use crate::sandbox::SandboxHandle;
use crate::source::Pushed;

pub(super) use fold::read;
pub(super) use spent::Spent;

/// What a run's earlier owners did of it.
#[derive(Default)]
pub(super) struct Past {
    /// The number of the last event.
    pub(super) last_seq: u64,
    pub(super) base: Option<PastBase>,
    pub(super) commands: Option<Commands>,
    /// The last one opened.
    pub(super) sandbox: Option<SandboxHandle>,
    /// Whether that one holds the work on another commit than the run works on.
    pub(super) is_elsewhere: bool,
    pub(super) talk: Option<Talk>,
    pub(super) before: Vec<CheckReport>,
    /// Those of the work that was last taken in, also on other commits.
    pub(super) after: Vec<CheckReport>,
    /// What was asked for.
    pub(super) request: Option<RunRequest>,
    /// What it goes on with of another run.
    pub(super) followed: Option<Followed>,
    /// Whether a patch is stored.
    pub(super) has_patch: bool,
    /// The tree of the patch that is stored, as the log has it.
    pub(super) kept: Option<String>,
    /// How many files it changes.
    pub(super) kept_files: u64,
    /// What that patch is a change to.
    pub(super) kept_on: Option<PastBase>,
    /// Whether that is what the model ended with, and nobody has worked on it since.
    pub(super) is_final: bool,
    /// How often the model was asked to mend what its change broke.
    pub(super) repairs: u32,
    /// What was about to be pushed.
    pub(super) pushing: Option<Pushing>,
    /// The commits at which a branch may have been made for a commit of the code host.
    pub(super) begun_at: Vec<String>,
    pub(super) pushed: Option<Pushed>,
    /// The files of the checks themselves that the pushed commit touches.
    pub(super) check_files: Vec<String>,
    pub(super) pr_url: Option<String>,
    pub(super) pr_number: Option<u64>,
    /// The numbers of the messages that the model has heard.
    pub(super) heard: BTreeSet<u64>,
    /// What became of the sandbox that was lost, until the model is told.
    pub(super) loss: Option<Loss>,
    /// How often in a row the run was gone on with and came no further.
    pub(super) stalls: u32,
    /// Whether an owner began only to save what there is.
    pub(super) is_given_up: bool,
    pub(super) spent: Spent,
    /// How long it was put aside, in all.
    pub(super) parked: Duration,
    /// How long of that since its pull request is open.
    pub(super) parked_proposed: Duration,
    /// At which stage it was put aside, where nobody has gone on with it since.
    pub(super) parked_at: Option<Stage>,
    /// How it ended, and why, if it has.
    pub(super) done: Option<(Outcome, String)>,
}

impl Past {
    /// The reports on what is pushed or about to be, or else on what is kept.
    pub(super) fn reports(&self) -> Vec<CheckReport> {
        let pushing = self.pushing.as_ref().map(|pushing| &pushing.tree);
        let Some(tree) = pushing.or(self.kept.as_ref()) else {
            return self.after.clone();
        };
        let reports = self.after.iter().filter(|report| report.tree == *tree);
        reports.cloned().collect()
    }

    /// The tree of the patch that is stored, if that is a change to the commit that the run works on.
    pub(super) fn kept_here(&self) -> Option<&str> {
        let is_here = self.kept_on == self.base;
        self.kept.as_deref().filter(|_| is_here)
    }
}

/// What became of a sandbox that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Another one is not ready yet.
    Open,
    /// Another one holds the work as it was kept, or none of it.
    Made { has_work: bool },
}

/// The commit that the run started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PastBase {
    pub(super) branch: String,
    pub(super) commit: String,
}

/// The conversation with the model.
pub(super) struct Talk {
    pub(super) conversation: Conversation,
    /// The model that it began with, which its tools suit.
    pub(super) first: Provenance,
    /// The model that it was held with last.
    pub(super) model: Provenance,
    /// The rows of the models that it was held with, in order.
    pub(super) rows: Vec<String>,
    /// The model's last reply, where nobody has said anything since.
    pub(super) last: Option<LastReply>,
    /// How it was before it began to be shortened, until that is done.
    pub(super) uncompacted: Option<Conversation>,
}

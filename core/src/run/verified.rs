//! Verified: a commit that the code host makes itself, through its API, and so vouches for.
//!
//! The branch is first pushed at the commit's parent. The log has it before that, so whoever goes on with the run
//! takes a branch that stands there for the run's own, and one that has the work on it for done.

use pullwright_protocol::forge::{CommitOnBranch, ForgeRepository};
use pullwright_protocol::{FailureKind, Stage};

use super::Run;
use super::again::later_if_it_passes;
use crate::agent::Halt;
use crate::config::Verified;
use crate::source::{HostedChange, Push, Pushed, Tip};

/// Who makes the commit of a change.
pub(super) enum Maker {
    /// We, and push it.
    Us,
    /// The code host, from these files.
    Host(HostedChange),
    /// Nobody, since we may not and the code host cannot.
    Nobody(String),
}

const NO_FORGE: &str = "no forge is configured here for its code host";

impl Run<'_> {
    /// Why nothing of this run can be pushed, as far as that is known before there is a change.
    pub(super) fn why_never_verified(&self) -> Option<String> {
        let why = self.why_no_host()?;
        self.must_be_verified().then(|| not_pushed(&why))
    }

    /// Whether the code host makes the commit, as far as that is known before there is a change.
    pub(super) fn may_be_verified(&self) -> bool {
        self.parts.config.commit.verified != Verified::Off && self.why_no_host().is_none()
    }

    fn must_be_verified(&self) -> bool {
        self.parts.config.commit.verified == Verified::Always
    }

    /// Who makes the commit; where we make one that was to be verified, that is said.
    pub(super) async fn maker(&self, push: Push<'_>) -> Result<Maker, Halt> {
        if self.parts.config.commit.verified == Verified::Off {
            return Ok(Maker::Us);
        }
        if let Some(why) = self.why_no_host() {
            return Ok(self.maker_without_host(&why).await);
        }
        Ok(match self.parts.source.as_files(push).await? {
            Ok(change) => Maker::Host(change),
            Err(unfit) => self.maker_without_host(&unfit.to_string()).await,
        })
    }

    async fn maker_without_host(&self, why: &str) -> Maker {
        if self.must_be_verified() {
            return Maker::Nobody(not_pushed(why));
        }
        let message = format!("the commit will not be verified: {why}");
        self.status(Stage::Publish, message).await;
        Maker::Us
    }

    fn why_no_host(&self) -> Option<String> {
        let Some(forge) = &self.forge else {
            return Some(NO_FORGE.to_owned());
        };
        let name = forge.name();
        (!forge.makes_commits()).then(|| {
            format!("[tools.{name}] has no tool that makes commits (with the role `forge.commit`)")
        })
    }

    /// Has the code host make the commit of `change`; or somebody else, where it refuses that.
    pub(super) async fn commit_at_host(
        &self,
        push: Push<'_>,
        change: &HostedChange,
        fork: Option<&ForgeRepository>,
    ) -> Result<Result<Pushed, Maker>, Halt> {
        let source = &self.parts.source;
        let begun = self.try_again(|| source.begin(push)).await;
        if let Tip::Ours(pushed) = begun.map_err(later_if_it_passes)? {
            return Ok(Ok(pushed));
        }
        let refused = match self.ask_host(push.branch, change, fork).await {
            Ok(commit) => {
                let made = self.try_again(|| source.made(push, &commit)).await;
                return made.map(Ok).map_err(later_if_it_passes);
            }
            Err(Halt::Failed(_, refused)) => refused,
            // A push does without that part of the host which is out of order.
            Err(Halt::Later(later)) if later.is_outage && !self.must_be_verified() => later.reason,
            Err(halt) => return Err(halt),
        };
        // It may have been made all the same, and somebody else may have pushed meanwhile.
        let found = self.try_again(|| source.look(push)).await;
        if let Tip::Ours(pushed) = found.map_err(later_if_it_passes)? {
            return Ok(Ok(pushed));
        }
        let maker = self.maker_without_host(&refused).await;
        if matches!(maker, Maker::Nobody(_)) && !push.grows {
            self.take_back(push).await;
        }
        Ok(Err(maker))
    }

    async fn ask_host(
        &self,
        branch: &str,
        change: &HostedChange,
        fork: Option<&ForgeRepository>,
    ) -> Result<String, Halt> {
        let Some(forge) = &self.forge else {
            return Err(Halt::Failed(FailureKind::Forge, NO_FORGE.to_owned()));
        };
        let commit = |repository: ForgeRepository| CommitOnBranch {
            repository: fork.cloned().unwrap_or(repository),
            branch: branch.to_owned(),
            expected_head: change.parent.clone(),
            title: change.title.clone(),
            body: change.body.clone(),
            additions: change.additions.clone(),
            deletions: change.deletions.clone(),
        };
        Ok(forge.commit(commit).await?.commit)
    }

    /// An empty branch that is left behind does no harm.
    async fn take_back(&self, push: Push<'_>) {
        if let Err(error) = self.parts.source.take_back(push).await {
            let message = format!(
                "branch `{}`, which was made for the commit, is left without one: {error}",
                push.branch
            );
            self.status(Stage::Publish, message).await;
        }
    }
}

fn not_pushed(why: &str) -> String {
    format!(
        "its commit cannot be made by the code host, and no other is pushed (`verified = \"always\"` in [commit]): \
         {why}"
    )
}

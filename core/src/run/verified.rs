//! Verified: a commit that the code host makes itself, through its API, and so vouches for.
//!
//! The branch is first pushed at the commit's parent. The log has it before that, so whoever goes on with the run
//! takes a branch that stands there for the run's own, and one that has the work on it for done.

use pullwright_protocol::forge::{CommitOnBranch, ForgeRepository};
use pullwright_protocol::{FailureKind, Outcome, Stage};

use super::again::later_if_it_passes;
use super::{Ended, Run};
use crate::agent::Halt;
use crate::config::Verified;
use crate::forge::place::git_url;
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
        self.say_not_verified(why).await;
        Maker::Us
    }

    async fn say_not_verified(&self, why: &str) {
        let message = format!("the commit will not be verified: {why}");
        self.status(Stage::Publish, message).await;
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
        change: HostedChange,
        fork: Option<&ForgeRepository>,
    ) -> Result<Result<Pushed, Maker>, Halt> {
        let source = &self.parts.source;
        let begun = self.try_again(|| source.begin(push)).await;
        if let Tip::Ours(pushed) = begun.map_err(later_if_it_passes)? {
            return Ok(Ok(pushed));
        }
        let refused = match self.ask_host(push.branch, change, fork).await {
            Ok(commit) => return self.take_made(push, commit).await.map(Ok),
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
        Ok(Err(self.maker_without_host(&refused).await))
    }

    /// Takes the commit that the host made for the change, if it is what was checked.
    async fn take_made(&self, push: Push<'_>, commit: String) -> Result<Pushed, Halt> {
        let source = &self.parts.source;
        let made = self.try_again(|| source.made(push, &commit)).await;
        match made.map_err(later_if_it_passes)? {
            Ok(pushed) => Ok(pushed),
            Err(mismatch) if self.must_be_verified() => {
                Err(self.give_up_made(push, commit, &mismatch).await)
            }
            Err(mismatch) => self.push_over(push, commit, &mismatch).await,
        }
    }

    /// Removes the branch with a commit of the host that is not what was checked, if the branch is the run's own.
    async fn give_up_made(&self, push: Push<'_>, commit: String, mismatch: &str) -> Halt {
        let url = &push.to.unwrap_or(&push.base.repository).url;
        let branch = push.branch;
        let why = format!(
            "`{url}` has made commit {commit} of the change through its API, but not of what was checked: {mismatch}"
        );
        let begun_at = [push.begun_at, &[commit]].concat();
        let with_it = Push {
            begun_at: &begun_at,
            ..push
        };
        let left = match push.grows {
            true => format!(
                "It is left on branch `{branch}`, and so in the pull request that this has: take it off there"
            ),
            false => match self
                .try_again(|| self.parts.source.take_back(with_it))
                .await
            {
                Ok(()) => format!("Branch `{branch}` is removed, and nothing is proposed"),
                Err(error) => format!(
                    "It is left on branch `{branch}`, which could not be removed, and not proposed: {error}"
                ),
            },
        };
        let message = format!(
            "{why}. {left}. The work is kept as a patch; write `verified = \"off\"` in [commit] to have changes pushed"
        );
        Halt::Failed(FailureKind::Push, message)
    }

    /// Pushes over a commit of the host that is not what was checked, and over nothing of others.
    async fn push_over(
        &self,
        push: Push<'_>,
        commit: String,
        mismatch: &str,
    ) -> Result<Pushed, Halt> {
        let why = format!(
            "the code host made {commit} on branch `{}`, which is not what was checked: {mismatch}",
            push.branch
        );
        self.say_not_verified(&why).await;
        let begun_at = [push.begun_at, &[commit]].concat();
        let push = Push {
            begun_at: &begun_at,
            ..push
        };
        let pushed = self.try_again(|| self.parts.source.push(push)).await;
        // The log does not have that commit: whoever went on later would take it for somebody else's.
        pushed.map_err(|error| {
            let message =
                format!("{why}; a push in its place failed, and is not tried again: {error}");
            Halt::Failed(error.kind, message)
        })
    }

    async fn ask_host(
        &self,
        branch: &str,
        change: HostedChange,
        fork: Option<&ForgeRepository>,
    ) -> Result<String, Halt> {
        let Some(forge) = &self.forge else {
            return Err(Halt::Failed(FailureKind::Forge, NO_FORGE.to_owned()));
        };
        let commit = |repository: ForgeRepository| CommitOnBranch {
            repository: fork.cloned().unwrap_or(repository),
            branch: branch.to_owned(),
            expected_head: change.parent,
            title: change.title,
            body: change.body,
            additions: change.additions,
            deletions: change.deletions,
        };
        Ok(forge.commit(commit).await?.commit)
    }

    /// Takes the branch back that was made for a commit which did not come, where the run ends so: the next run with
    /// that branch would take it for somebody else's. One that is left is told.
    pub(super) async fn take_back_begun(&self, ended: Result<Ended, Halt>) -> Result<Ended, Halt> {
        if self.begun_at.is_empty() || self.pushed.is_some() {
            return ended;
        }
        let ended = match ended {
            Err(Halt::Later(later)) => Err(self.wait_or_end(later)),
            ended => ended,
        };
        let goes_on = matches!(ended, Err(Halt::Later(_) | Halt::HandedOver));
        if goes_on || self.log.committed().await.is_err() {
            return ended;
        }
        match self.try_to_take_back().await {
            Ok(()) => ended,
            Err(why) => self.with_branch_left(ended, &why).await,
        }
    }

    async fn try_to_take_back(&self) -> Result<(), String> {
        let (Some(base), Some(work)) = (&self.base, &self.work) else {
            return Err("the run ended before it could be looked at".to_owned());
        };
        let source = &self.parts.source;
        let fork = match &self.pushing {
            Some(pushing) => pushing.fork.clone(),
            None => self.fork_to_push(base),
        };
        let fork = fork.map(|fork| source.accept(&git_url(&fork))).transpose();
        let fork = fork.map_err(|error| error.to_string())?;
        let credential = self.credential(fork.as_ref().unwrap_or(&base.repository));
        let credential = credential.await.map_err(|halt| halt.to_string())?;
        let branch = self.new_branch();
        let policy = self.parts.config.repositories.moved_base;
        let push = Push {
            run: &self.owned.id,
            base,
            work,
            moved: self.caught_up.as_ref().map(|there| there.moved(policy)),
            to: fork.as_ref(),
            branch: &branch,
            grows: false,
            begun_at: &self.begun_at,
            message: "",
            credential: credential.as_ref(),
        };
        let taken_back = self.try_again(|| source.take_back(push)).await;
        taken_back.map_err(|error| error.to_string())
    }

    async fn with_branch_left(&self, ended: Result<Ended, Halt>, why: &str) -> Result<Ended, Halt> {
        let left = format!(
            "branch `{}`, which was begun for the commit, is left as it is: {why}",
            self.new_branch()
        );
        match ended {
            Err(Halt::Failed(kind, message)) if message.contains(why) => {
                Err(Halt::Failed(kind, message))
            }
            Err(Halt::Failed(kind, message)) => {
                Err(Halt::Failed(kind, format!("{message}; {left}")))
            }
            // Nothing is to be saved any more.
            Err(Halt::Cancelled) if !self.unsaved => Ok(Ended {
                outcome: Outcome::Cancelled,
                summary: format!("{}; {left}", Halt::Cancelled),
            }),
            Err(halt) => {
                self.status(Stage::Publish, left).await;
                Err(halt)
            }
            Ok(ended) => Ok(Ended {
                summary: format!("{}; {left}", ended.summary),
                ..ended
            }),
        }
    }
}

fn not_pushed(why: &str) -> String {
    format!(
        "its commit cannot be made by the code host, and no other is pushed (`verified = \"always\"` in [commit]): \
         {why}"
    )
}

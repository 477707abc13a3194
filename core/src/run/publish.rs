//! Publish: push the branch, open the pull request.

use std::collections::BTreeSet;

use pullwright_protocol::forge::{ForgeRepository, OpenPullRequest};
use pullwright_protocol::{Event, FailureKind, Outcome, Stage};

use super::again::later_if_it_passes;
use super::catch_up::{CaughtUp, Pushing};
use super::evidence::{Beside, Proposed};
use super::summary::Summary;
use super::verified::Maker;
use super::way::Way;
use super::{Ended, Run, evidence};
use crate::agent::Halt;
use crate::forge::place::git_url;
use crate::source::{Base, Push, Pushed, Work};

/// The prefix of branches we name ourselves.
const BRANCH_PREFIX: &str = "pullwright/";

/// The longest slug made from a prompt, in characters.
const MAX_SLUG_CHARS: usize = 40;

impl Run<'_> {
    pub(super) async fn publish(&mut self) -> Result<Ended, Halt> {
        let Some(base) = self.base.clone() else {
            return Err(nothing_to_publish());
        };
        let summary = Summary::parse(&self.last_words, &self.owned.request.prompt);
        if self.pushed.is_none() && self.adds_nothing() {
            // What a run before has pushed and could not propose.
            self.pushed = Some(Pushed {
                branch: base.branch.clone(),
                commit: base.commit.clone(),
            });
        }
        // What an earlier owner of the run has pushed is what is proposed.
        if self.pushed.is_none() {
            let Some(work) = self.work.clone() else {
                return Err(nothing_to_publish());
            };
            self.know_rights().await?;
            if let Some(reason) = self.reason_not_to_push(&work) {
                self.status(Stage::Publish, reason.clone()).await;
                return Ok(patch_only(&reason));
            }
            self.status(Stage::Publish, "pushing the branch").await;
            let pushed = match self.push(&base, &work, &summary).await {
                Err(Halt::Failed(FailureKind::Credential, reason)) => Err(reason),
                pushed => pushed?,
            };
            match pushed {
                Ok(pushed) => self.pushed = Some(pushed),
                Err(reason) => {
                    self.status(Stage::Publish, reason.clone()).await;
                    return Ok(patch_only(&reason));
                }
            }
            self.check_files = evidence::check_files(self.published_work(&work));
        }
        if self.forge.is_none() || self.is_base_gone() {
            return Ok(Ended {
                outcome: Outcome::BranchOnly,
                summary: self.told(&summary),
            });
        }
        self.open_pull_request(&base, &summary).await?;
        Ok(self.ended_in_pull_request())
    }

    pub(super) fn ended_in_pull_request(&self) -> Ended {
        let summary = Summary::parse(&self.last_words, &self.owned.request.prompt);
        let lacking = self.lacking.iter();
        let lacking: String = lacking.map(|lack| format!("\n\nWARNING: {lack}")).collect();
        Ended {
            outcome: Outcome::PullRequest,
            summary: self.told(&summary) + &lacking,
        }
    }

    /// Whether there is no commit of its own to push.
    fn adds_nothing(&self) -> bool {
        self.work.as_ref().is_some_and(Work::is_empty)
    }

    fn breaks_checks(&self) -> bool {
        !super::check::broken(&self.before, &self.after).is_empty()
    }

    /// Whether there is no branch any more that the change could be proposed to.
    fn is_base_gone(&self) -> bool {
        self.base_move
            .as_ref()
            .is_some_and(|moved| moved.to.is_none())
    }

    /// The work on the commit on which it is published.
    fn published_work<'w>(&'w self, work: &'w Work) -> &'w Work {
        self.caught_up.as_ref().map_or(work, CaughtUp::work)
    }

    /// The model's summary, and what it must not keep silent about.
    fn told(&self, summary: &Summary) -> String {
        let whole = match &self.base_move {
            Some(moved) => format!("{}\n\n{}", summary.whole(), moved.told),
            None => summary.whole(),
        };
        let broken = super::check::broken(&self.before, &self.after);
        if broken.is_empty() {
            return whole;
        }
        let commands: Vec<&str> = broken
            .iter()
            .map(|report| report.command.as_str())
            .collect();
        format!(
            "{whole}\n\nThe change breaks checks that passed before it: {}",
            commands.join("; ")
        )
    }

    fn reason_not_to_push(&self, work: &Work) -> Option<String> {
        if !work.refusals.is_empty() {
            let reasons = work.refusals.join("; ");
            return Some(format!("the change may not be pushed: {reasons}"));
        }
        match &self.way {
            Way::Patch(reason) => Some(reason.clone()),
            Way::Branch | Way::Fork(_) => None,
        }
    }

    /// Pushes the change, or answers why it is not to be pushed.
    async fn push(
        &mut self,
        base: &Base,
        work: &Work,
        summary: &Summary,
    ) -> Result<Result<Pushed, String>, Halt> {
        let (branch, grows) = self.branch_to_push(base);
        let fork = self.fork_to_push(base);
        let to = match &fork {
            Some(fork) => self.parts.source.accept(&git_url(fork))?,
            None => base.repository.clone(),
        };
        let (run, caught_up) = (self.owned.id.clone(), self.caught_up.clone());
        let begun_at = self.begun_at.clone();
        let policy = self.parts.config.repositories.moved_base;
        let message = summary.commit_message(&self.parts.config.commit.co_authors);
        let push = Push {
            run: &run,
            base,
            work,
            moved: caught_up.as_ref().map(|there| there.moved(policy)),
            to: fork.is_some().then_some(&to),
            branch: &branch,
            grows,
            begun_at: &begun_at,
            message: &message,
            credential: None,
        };
        let maker = self.maker(push).await?;
        if let Maker::Nobody(reason) = maker {
            return Ok(Err(reason));
        }
        let credential = self.credential(&to).await?;
        let credential = credential.as_ref();
        let push = Push { credential, ..push };
        let is_begun = !begun_at.is_empty();
        let verified = is_begun || matches!(maker, Maker::Host(_));
        if verified && !is_begun {
            self.see_that_it_is_free(push).await?;
        }
        self.say_push_started(&branch, work, fork.clone(), verified)
            .await;
        self.before_effect().await?;
        if let Maker::Host(change) = &maker
            && !grows
            && !begun_at.contains(&change.parent)
        {
            self.begun_at.push(change.parent.clone());
        }
        let begun_at = self.begun_at.clone();
        let push = Push {
            begun_at: &begun_at,
            ..push
        };
        let pushed = match self.push_as(maker, push, fork.as_ref()).await? {
            Ok(pushed) => pushed,
            Err(reason) => return Ok(Err(reason)),
        };
        let event = Event::BranchPushed {
            branch: pushed.branch.clone(),
            commit: pushed.commit.clone(),
            fork: fork.clone(),
            check_files: evidence::check_files(self.published_work(work)),
        };
        self.log.emit(event).await;
        let place = fork.map(|fork| format!(" of the fork {}/{}", fork.owner, fork.name));
        let message = format!(
            "pushed {} to branch {}{}",
            super::prepare::short(&pushed.commit),
            pushed.branch,
            place.unwrap_or_default()
        );
        self.status(Stage::Publish, message).await;
        Ok(Ok(pushed))
    }

    /// Who makes a branch without a commit must know later that it was nobody else's before.
    async fn see_that_it_is_free(&self, push: Push<'_>) -> Result<(), Halt> {
        let looked = self.try_again(|| self.parts.source.look(push)).await;
        looked.map(drop).map_err(later_if_it_passes)
    }

    async fn push_as(
        &self,
        maker: Maker,
        push: Push<'_>,
        fork: Option<&ForgeRepository>,
    ) -> Result<Result<Pushed, String>, Halt> {
        let maker = match maker {
            Maker::Host(change) => match self.commit_at_host(push, change, fork).await? {
                Ok(pushed) => return Ok(Ok(pushed)),
                Err(maker) => maker,
            },
            maker => maker,
        };
        if let Maker::Nobody(reason) = maker {
            return Ok(Err(reason));
        }
        let pushed = self.try_again(|| self.parts.source.push(push)).await;
        pushed.map(Ok).map_err(later_if_it_passes)
    }

    /// The log has what is pushed before it is pushed: another owner pushes the same, or finds it there.
    async fn say_push_started(
        &mut self,
        branch: &str,
        work: &Work,
        fork: Option<ForgeRepository>,
        verified: bool,
    ) {
        let pushing = Pushing {
            tree: self.published_work(work).tree.clone(),
            onto: self.caught_up.as_ref().map(|there| there.onto().to_owned()),
            fork,
            moved: self.base_move.clone(),
            verified,
        };
        if self.pushing.as_ref() == Some(&pushing) {
            return;
        }
        let event = Event::PushStarted {
            branch: branch.to_owned(),
            tree: pushing.tree.clone(),
            onto: pushing.onto.clone(),
            fork: pushing.fork.clone(),
            moved: pushing.moved.clone(),
            verified: pushing.verified,
        };
        self.log.emit(event).await;
        self.pushing = Some(pushing);
    }

    async fn open_pull_request(&mut self, base: &Base, summary: &Summary) -> Result<(), Halt> {
        let (Some(forge), Some(pushed)) = (&self.forge, &self.pushed) else {
            return Ok(());
        };
        self.before_effect().await?;
        let proposed = match &self.work {
            Some(work) if self.is_pushed(self.published_work(work)) => {
                Proposed::Work(self.published_work(work))
            }
            _ => Proposed::Commit(&pushed.commit),
        };
        let earlier = self.grows(base);
        let before = earlier.iter().flat_map(|earlier| &earlier.check_files);
        let check_files: BTreeSet<&String> = before.chain(&self.check_files).collect();
        let check_files: Vec<String> = check_files.into_iter().cloned().collect();
        // What cannot be read any more is not worth the pull request.
        let of_base = self.parts.files.notices(base).await.unwrap_or_default();
        let evidence = evidence::markdown(
            &self.owned,
            proposed,
            Beside {
                check_files: &check_files,
                of_base: &of_base,
            },
            &self.before,
            &self.after,
            self.base_move.as_ref(),
            self.parts.config.server.public_url.as_deref(),
        );
        let asked_for = super::origin::asked_for(self.owned.request.origin.as_ref());
        let evidence = format!("{asked_for}{evidence}");
        let whole = match earlier {
            Some(earlier) if self.adds_nothing() => &Summary::of_pushed(&earlier.summaries),
            Some(earlier) => &Summary::of_all(&earlier.summaries, summary),
            None => summary,
        };
        let target = self.target(base);
        let is_new = earlier.is_none_or(|earlier| earlier.pr_url.is_none());
        let template = match is_new {
            true => self.template(base).await,
            false => None,
        };
        let opened = forge
            .open_pull_request(|repository| OpenPullRequest {
                repository,
                head: pushed.branch.clone(),
                head_repository: self.fork_pushed(base),
                head_sha: pushed.commit.clone(),
                base: target.clone(),
                title: whole.title.clone(),
                summary: whole.body.clone(),
                evidence,
                draft: self.is_draft(),
                run: Some(self.owned.id.clone()),
                template,
            })
            .await?;
        let event = Event::PullRequestOpened {
            url: opened.url.clone(),
            number: opened.number,
            branch: pushed.branch.clone(),
            base: opened.base.unwrap_or(target),
            draft: opened.draft,
        };
        self.pr_url = Some(opened.url);
        // Whoever goes on with a run that waits here finds it open.
        self.log.emit(event).await;
        match is_new {
            true => self.set_details(opened.number).await,
            false => Ok(()),
        }
    }

    /// A change that breaks a check is a proposal to look at, not one to merge.
    fn is_draft(&self) -> bool {
        let is_in_the_way = self
            .base_move
            .as_ref()
            .is_some_and(|moved| moved.is_in_the_way);
        let is_asked = self.owned.request.draft || self.parts.config.pull_request.draft;
        is_asked || is_in_the_way || self.breaks_checks()
    }

    fn is_pushed(&self, work: &Work) -> bool {
        self.pushing
            .as_ref()
            .is_none_or(|pushing| pushing.tree == work.tree)
    }

    /// The fork to push to, if to one. A branch grows where it is.
    pub(super) fn fork_to_push(&self, base: &Base) -> Option<ForgeRepository> {
        match (self.grows(base), &self.way) {
            (Some(earlier), _) => earlier.fork.clone(),
            (None, Way::Fork(fork)) => Some(fork.clone()),
            (None, _) => None,
        }
    }

    /// The fork that holds the pushed branch, if one does.
    fn fork_pushed(&self, base: &Base) -> Option<ForgeRepository> {
        let pushing = self
            .pushing
            .as_ref()
            .and_then(|pushing| pushing.fork.clone());
        pushing.or_else(|| self.grows(base)?.fork.clone())
    }

    /// Nothing outside changes before everything that led to it is durable.
    async fn before_effect(&self) -> Result<(), Halt> {
        self.log.committed().await?;
        Ok(())
    }

    /// The branch to push to, and whether it is there already.
    pub(super) fn branch_to_push(&self, base: &Base) -> (String, bool) {
        match self.grows(base) {
            Some(earlier) => (earlier.branch.clone(), true),
            None => (self.new_branch(), false),
        }
    }

    /// The branch of a change that goes on with no other one.
    pub(super) fn new_branch(&self) -> String {
        let followed = self.followed.as_ref();
        let is_taken = followed.is_some_and(|followed| followed.is_branch_used);
        let asked = self.owned.request.branch.clone().filter(|_| !is_taken);
        asked.unwrap_or_else(|| self.own_branch())
    }

    fn own_branch(&self) -> String {
        let slug = slug(&self.owned.request.prompt);
        format!("{BRANCH_PREFIX}{slug}-{}", self.owned.id.short())
    }
}

fn nothing_to_publish() -> Halt {
    let message = "there is nothing to publish".to_owned();
    Halt::Failed(FailureKind::Internal, message)
}

fn patch_only(reason: &str) -> Ended {
    Ended {
        outcome: Outcome::PatchOnly,
        summary: format!("{reason}; the patch is kept"),
    }
}

/// The first words of a text as part of a branch name.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let separator = usize::from(!slug.is_empty());
        if slug.len() + separator + word.len() > MAX_SLUG_CHARS {
            break;
        }
        if !word.is_empty() {
            if separator == 1 {
                slug.push('-');
            }
            slug.push_str(&word.to_ascii_lowercase());
        }
    }
    if slug.is_empty() {
        slug.push_str("change");
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_and_safe() {
        assert_eq!(
            slug("Fix the off-by-one in `range()`!"),
            "fix-the-off-by-one-in-range"
        );
        assert_eq!(slug("übergröße"), "bergr-e");
        assert_eq!(slug("日本語"), "change");
        assert!(slug(&"word ".repeat(50)).len() <= MAX_SLUG_CHARS);
    }
}

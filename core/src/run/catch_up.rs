//! Catch up: a change whose base branch has moved meanwhile is brought onto its newest commit, and checked there.
//!
//! The work itself stays as it was made until it is pushed: whoever goes on with the run, or whoever says more to
//! its model, finds it on the commit that it was made on.

mod words;

use std::time::Duration;

use pullwright_protocol::forge::{ForgeCredential, ForgeRepository};
use pullwright_protocol::{BaseMove, CheckPhase, CheckReport, FailureKind, Stage};

use super::again::later_if_it_passes;
use super::detect::Commands;
use super::way::Way;
use super::{Run, check};
use crate::agent::Halt;
use crate::config::MovedBase;
use crate::source::{Base, Brought, Fetch, Moved, SourceError, Work};
use words::{Place, named};

/// How often a change is brought onto its branch: the branch may move again while the checks run.
const MAX_TIMES: u32 = 2;

/// What is left of a run's time to publish what is checked already, rather than to end without.
const TIME_TO_PUBLISH: Duration = Duration::from_secs(30);
const LATE: &str = "the run's time was nearly up";

/// What is pushed instead of the work on its base.
#[derive(Clone)]
pub(super) struct CaughtUp {
    onto: Base,
    work: Work,
}

/// What is about to be pushed, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pushing {
    /// The tree.
    pub(super) tree: String,
    /// The commit that it is put on, where that is not the one that the run began on.
    pub(super) onto: Option<String>,
    /// The fork that it is pushed to, if to one.
    pub(super) fork: Option<ForgeRepository>,
    /// What became of the base branch.
    pub(super) moved: Option<BaseMove>,
    /// Whether the branch is first made without the commit, which the code host then makes.
    pub(super) verified: bool,
}

/// Where on the base branch.
#[derive(Clone, Copy)]
struct BaseAt<'a> {
    /// At this commit; at the newest if absent.
    commit: Option<&'a str>,
    /// The commit that it is to be held against.
    since: Option<&'a str>,
}

/// What came of one attempt.
enum Attempt {
    /// The change is on the newest commit, which may not be it any more.
    CaughtUp,
    /// There is nothing more to be done.
    Over,
}

impl CaughtUp {
    pub(super) fn onto(&self) -> &str {
        &self.onto.commit
    }

    pub(super) fn work(&self) -> &Work {
        &self.work
    }

    pub(super) fn moved(&self, policy: MovedBase) -> Moved<'_> {
        Moved {
            onto: &self.onto,
            work: &self.work,
            merges: policy == MovedBase::Merge,
        }
    }
}

impl Run<'_> {
    /// Brings checked work onto the newest commit of its base branch, where that is clean and breaks no check.
    pub(super) async fn catch_up(&mut self, base: &Base, commands: &Commands) -> Result<(), Halt> {
        (self.caught_up, self.base_move) = (None, None);
        let Some(work) = self
            .work
            .clone()
            .filter(|work| self.is_to_catch_up(base, work))
        else {
            return Ok(());
        };
        for _ in 0..MAX_TIMES {
            match self.try_to_catch_up(base, &work, commands).await? {
                Attempt::CaughtUp => {}
                Attempt::Over => break,
            }
        }
        Ok(())
    }

    fn is_to_catch_up(&self, base: &Base, work: &Work) -> bool {
        let is_published = !matches!(self.way, Way::Patch(_)) && work.refusals.is_empty();
        let keeps = self.parts.config.repositories.moved_base == MovedBase::Keep;
        let is_sound = check::broken(&self.before, &self.after).is_empty();
        is_published && !keeps && is_sound && !work.is_empty() && self.grows(base).is_none()
    }

    async fn try_to_catch_up(
        &mut self,
        base: &Base,
        work: &Work,
        commands: &Commands,
    ) -> Result<Attempt, Halt> {
        let at = self
            .caught_up
            .as_ref()
            .map_or(&base.commit, |there| &there.onto.commit);
        let newest = match self.newest(base).await {
            Ok(Ok(newest)) if newest.commit == *at => return Ok(Attempt::Over),
            Ok(Ok(newest)) => newest,
            Ok(Err(error)) if error.is_missing_branch() => {
                self.tell_gone(base, &error.message).await;
                return Ok(Attempt::Over);
            }
            Ok(Err(error)) => {
                self.tell_unknown(base, &error.message).await;
                return Ok(Attempt::Over);
            }
            Err(Halt::Failed(_, reason)) => {
                self.tell_unknown(base, &reason).await;
                return Ok(Attempt::Over);
            }
            Err(halt) => return Err(halt),
        };
        let place = Place::of(base, &newest);
        self.status(Stage::Publish, place.begins()).await;
        let brought = match self.parts.source.bring_onto(base, work, &newest).await {
            Ok(brought) => brought,
            Err(error) => {
                let told = place.stays(&format!("it could not be brought there: {error}"));
                self.tell_move(&newest, told, false).await;
                return Ok(Attempt::Over);
            }
        };
        self.try_brought(place, newest, brought, commands).await
    }

    async fn try_brought(
        &mut self,
        place: Place,
        newest: Base,
        brought: Brought,
        commands: &Commands,
    ) -> Result<Attempt, Halt> {
        // What was taken out of the branch would come back with the change.
        let comes_back = brought.follows != Some(true) && self.caught_up.is_none();
        let place = place.rewritten(comes_back);
        let work = match brought.work {
            Ok(work) => work,
            Err(paths) => {
                let told = place.stays(&format!(
                    "the change conflicts with it in {}",
                    named(&paths)
                ));
                self.tell_move(&newest, told, comes_back).await;
                return Ok(Attempt::Over);
            }
        };
        if work.is_empty() {
            let told = place.stays("it holds the same change already");
            self.tell_move(&newest, told, comes_back).await;
            return Ok(Attempt::Over);
        }
        if !work.refusals.is_empty() {
            let told = place.stays(&format!(
                "there it may not be pushed: {}",
                work.refusals.join("; ")
            ));
            self.tell_move(&newest, told, comes_back).await;
            return Ok(Attempt::Over);
        }
        let after = match self.check_brought(&newest, &work, commands).await {
            Ok(after) => after,
            Err(Halt::Failed(_, reason)) => {
                let told = place.stays(&format!("the checks could not run there: {reason}"));
                self.tell_move(&newest, told, comes_back).await;
                return Ok(Attempt::Over);
            }
            Err(halt) => return Err(halt),
        };
        let broken = check::broken(&self.before, &after);
        if !broken.is_empty() {
            let commands: Vec<String> = broken.into_iter().map(|report| report.command).collect();
            let told = place.stays(&format!("there these checks fail: {}", named(&commands)));
            self.tell_move(&newest, told, true).await;
            return Ok(Attempt::Over);
        }
        let told = place.brought(!commands.checks.is_empty());
        self.tell_move(&newest, told, false).await;
        self.after = after;
        self.caught_up = Some(CaughtUp { onto: newest, work });
        Ok(Attempt::CaughtUp)
    }

    /// The base branch as it is now.
    async fn newest(&self, base: &Base) -> Result<Result<Base, SourceError>, Halt> {
        let credential = self.credential(&base.repository).await?;
        let at = BaseAt {
            commit: None,
            since: Some(&base.commit),
        };
        Ok(self.fetch_base(base, at, credential.as_ref()).await)
    }

    /// A commit of the base branch, or its newest.
    async fn fetch_base(
        &self,
        base: &Base,
        at: BaseAt<'_>,
        credential: Option<&ForgeCredential>,
    ) -> Result<Base, SourceError> {
        let fetch = || {
            self.parts.source.fetch(Fetch {
                repository: &base.repository,
                branch: Some(&base.branch),
                commit: at.commit,
                since: at.since,
                credential,
            })
        };
        self.try_again(fetch).await
    }

    /// The checks on the work there, in a sandbox of its own, which is not left behind.
    async fn check_brought(
        &mut self,
        newest: &Base,
        work: &Work,
        commands: &Commands,
    ) -> Result<Vec<CheckReport>, Halt> {
        if commands.checks.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = self.budget.deadline();
        let until = deadline.checked_sub(TIME_TO_PUBLISH).unwrap_or(deadline);
        self.close_sandbox().await?;
        self.is_elsewhere = true;
        let checking = self.check_there(newest, work, commands);
        let checked = match tokio::time::timeout_at(until.into(), checking).await {
            Ok(checked) => checked,
            Err(_) => Err(Halt::Failed(FailureKind::Limit, LATE.to_owned())),
        };
        let closed = self.close_sandbox().await;
        self.is_elsewhere = false;
        let reports = checked?;
        closed?;
        Ok(reports)
    }

    async fn check_there(
        &mut self,
        newest: &Base,
        work: &Work,
        commands: &Commands,
    ) -> Result<Vec<CheckReport>, Halt> {
        self.open_sandbox(newest, Some(work), commands).await?;
        self.set_up(commands).await?;
        self.run_checks(commands, &work.tree, CheckPhase::After)
            .await
    }

    async fn tell_unknown(&self, base: &Base, reason: &str) {
        let message = format!(
            "whether branch `{}` has moved is not known: {reason}",
            base.branch
        );
        self.status(Stage::Publish, message).await;
    }

    async fn tell_gone(&mut self, base: &Base, reason: &str) {
        let told = format!(
            "Branch `{}`, to which the change was to be proposed, is not there any more ({reason}).",
            base.branch
        );
        self.status(Stage::Publish, told.clone()).await;
        self.base_move = Some(BaseMove {
            to: None,
            told,
            is_in_the_way: false,
        });
    }

    async fn tell_move(&mut self, newest: &Base, told: String, is_in_the_way: bool) {
        self.status(Stage::Publish, told.clone()).await;
        self.base_move = Some(BaseMove {
            to: Some(newest.commit.clone()),
            told,
            is_in_the_way,
        });
    }

    /// What an earlier owner was about to push, and may have pushed: the same again, if it can be made again.
    /// A remote that is out of order is waited for.
    pub(super) async fn catch_up_again(&mut self, base: &Base) -> Result<(), Halt> {
        let Some(pushing) = self.pushing.clone().filter(|_| self.pushed.is_none()) else {
            return Ok(());
        };
        match self.made_again(base, &pushing).await? {
            Ok(caught_up) => self.caught_up = caught_up,
            Err(reason) => {
                self.status(Stage::Publish, reason).await;
                (self.pushing, self.base_move) = (None, None);
                self.after.clear();
            }
        }
        Ok(())
    }

    async fn made_again(
        &self,
        base: &Base,
        pushing: &Pushing,
    ) -> Result<Result<Option<CaughtUp>, String>, Halt> {
        let failed = |why: &str| {
            Ok(Err(format!(
                "the change cannot be brought again to where it was to be pushed: {why}"
            )))
        };
        let Some(work) = &self.work else {
            return failed("it is not there");
        };
        let Some(onto) = &pushing.onto else {
            return match work.tree == pushing.tree {
                true => Ok(Ok(None)),
                false => failed("it is another one"),
            };
        };
        let credential = match self.credential(&base.repository).await {
            Err(Halt::Failed(_, reason)) => return failed(&reason),
            credential => credential?,
        };
        let at = BaseAt {
            commit: Some(onto),
            since: None,
        };
        let onto = match self.fetch_base(base, at, credential.as_ref()).await {
            Err(error) if error.passes => return Err(later_if_it_passes(error)),
            Err(error) => return failed(&error.message),
            Ok(onto) => onto,
        };
        match self.parts.source.bring_onto(base, work, &onto).await {
            Err(error) => failed(&error.message),
            Ok(Brought { work: Ok(work), .. }) if work.tree == pushing.tree => {
                Ok(Ok(Some(CaughtUp { onto, work })))
            }
            Ok(_) => failed("another tree came of it"),
        }
    }
}

//! Going on with a run that another owner began.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pullwright_protocol::provider::{Prices, TokenUsage};
use pullwright_protocol::{Event, FailureKind, Provenance, Stage};

use super::again::later_if_it_passes;
use super::check::broken;
use super::detect::Commands;
use super::past::{Loss, Past, PastBase, Talk};
use super::{Left, Prepared, Run, left};
use crate::agent::{Agent, Halt, LastReply, Later};
use crate::sandbox::{Sandbox, SandboxHandle};
use crate::source::{Base, Fetch, Repository, Work};

/// How often in a row a run is gone on with that comes no further.
const MAX_STALLS: u32 = 5;

/// How long finding the sandbox of a run that is over may take.
const FIND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long is waited for a git host that does not answer, before it is asked once more.
const REGAIN_WAITS: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(20),
];

/// How long finding out may take what a model costs.
const PRICES_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of the sandbox in which the model worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workplace {
    /// It is there.
    Reopened,
    /// Another one holds the work as it was kept last.
    Rebuilt,
    /// Another one holds none of the work.
    Empty,
}

/// Why a run ends that server after server died of.
pub const GIVEN_UP: &str = "\
the server stopped several times in a row as soon as it worked on this run, so it is given up; if the \
server was stopped for another reason, start the run again";

/// Tells the model what became of its sandbox.
const REOPENED: &str = "\
The server was restarted. The files are as you left them; processes that you had started are gone.";
const REBUILT: &str = "\
The sandbox was lost, and another one takes its place. It holds your changes as they were kept a moment \
before: the last of them may be missing, so look at the files before you go on. Processes that you had \
started, and files outside of the working tree, are gone.";
const EMPTY: &str = "\
The sandbox was lost, and another one takes its place. It holds the repository as it was at the \
beginning, so make your changes again.";

/// What an earlier owner has left to do in the conversation.
pub(super) struct Begun {
    last: Option<LastReply>,
    workplace: Workplace,
}

impl Begun {
    /// The model's last words, if it had nothing more to do and its work is there.
    pub(super) fn last_words(&self) -> Option<String> {
        match self.workplace {
            Workplace::Reopened => self.last.as_ref()?.last_words(),
            Workplace::Rebuilt | Workplace::Empty => None,
        }
    }

    /// Brings the conversation to where the model can go on.
    pub(super) async fn take_up(self, agent: &mut Agent<'_>) -> Result<(), Halt> {
        if let Some(last) = &self.last {
            agent.take_up(last).await?;
        }
        agent.say(self.workplace.told()).await;
        Ok(())
    }
}

impl Workplace {
    fn told(self) -> &'static str {
        match self {
            Self::Reopened => REOPENED,
            Self::Rebuilt => REBUILT,
            Self::Empty => EMPTY,
        }
    }
}

impl Run<'_> {
    /// Knows what an earlier owner has found out, spent and reached.
    pub(super) fn know(&mut self, past: &Past) {
        let last = past.talk.as_ref().and_then(|talk| talk.last.as_ref());
        self.last_words = last.and_then(LastReply::last_words).unwrap_or_default();
        self.followed.clone_from(&past.followed);
        self.before.clone_from(&past.before);
        self.pushing.clone_from(&past.pushing);
        self.begun_at.clone_from(&past.begun_at);
        let has_parked = past.is_final && past.parked_at == Some(Stage::Publish);
        self.is_publishing = past.pushing.is_some() || has_parked;
        self.base_move = past
            .pushing
            .as_ref()
            .and_then(|pushing| pushing.moved.clone());
        self.after = past.reports();
        self.repairs = past.repairs;
        self.pushed.clone_from(&past.pushed);
        self.check_files.clone_from(&past.check_files);
        self.pr_url.clone_from(&past.pr_url);
        self.is_kept.store(past.has_patch, Ordering::Relaxed);
        self.is_left_behind = true;
        let rows = past.talk.iter().flat_map(|talk| &talk.rows);
        let spent: Vec<&String> = rows.collect();
        self.fallback.retain(|row| !spent.contains(&row));
    }

    /// Books a reply that an earlier owner was reading: what it has cost is not known, but its request was
    /// sent. It is in the log, so that every later owner counts the same.
    pub(super) async fn book_lost_reply(&mut self, past: &Past) {
        let talk = past.talk.as_ref().filter(|_| past.spent.is_replying);
        let Some(talk) = talk else { return };
        let prices = self.prices_of(&talk.model).await;
        self.budget.set_prices(prices);
        let usage = TokenUsage {
            input_tokens: talk.conversation.tokens(),
            ..TokenUsage::default()
        };
        let usd = self.budget.book(&usage);
        self.log.emit(Event::ReplyLost { usage, usd }).await;
    }

    async fn prices_of(&self, model: &Provenance) -> Option<Prices> {
        let (row, name) = (&model.provider, &model.model);
        let opening = self.parts.providers.open(row, Some(name));
        match tokio::time::timeout(PRICES_TIMEOUT, opening).await {
            Ok(Ok(provider)) => provider.info().prices,
            _ => {
                tracing::warn!(run = %self.owned.id, row, "what an interrupted reply costs is not known");
                None
            }
        }
    }

    /// Ends a run that nobody need go on with; what its model has made is saved all the same.
    pub(super) async fn end_what_is_over(&mut self, past: &Past) -> Result<(), Halt> {
        let Some(halt) = self.is_over(past) else {
            return Ok(());
        };
        self.look_for_work(past).await;
        Err(halt)
    }

    /// Finds the work of a run that ends here, so that it is kept.
    async fn look_for_work(&mut self, past: &Past) {
        // If looking for it is what servers die of, it was tried once.
        if past.stalls <= MAX_STALLS && !past.is_given_up {
            let found = tokio::time::timeout(FIND_TIMEOUT, self.find_work(past)).await;
            if !matches!(found, Ok(Ok(()))) {
                tracing::warn!(run = %self.owned.id, "the work of a run that is over was not found");
            }
        }
    }

    fn is_over(&self, past: &Past) -> Option<Halt> {
        // Publishing is not interrupted.
        let may_end = self.pushed.is_none();
        let is_in_time = Instant::now() < self.budget.deadline();
        // One that waits is not publishing.
        if (may_end || past.parked_at.is_some()) && self.owned.cancel.is_cancelled() {
            return Some(Halt::Cancelled);
        }
        if may_end && !self.is_publishing && !is_in_time {
            return Some(Halt::Budget(self.budget.time_is_over()));
        }
        if self.owned.is_given_up || past.is_given_up {
            return Some(Halt::Failed(FailureKind::Interrupted, GIVEN_UP.to_owned()));
        }
        has_stalled(past).then(|| {
            let message = format!(
                "the run was gone on with {MAX_STALLS} times without coming any further, so it is given \
                 up; if its servers stopped for another reason, start it again"
            );
            Halt::Failed(FailureKind::Interrupted, message)
        })
    }

    /// Whether nobody is to do anything more for the run than to end it.
    pub(super) fn is_given_up(&self, past: &Past) -> bool {
        self.owned.is_given_up || past.is_given_up || has_stalled(past)
    }

    /// Opens the sandbox again that holds work which nobody has taken in.
    async fn find_work(&mut self, past: &Past) -> Result<(), Halt> {
        let is_there = past.loss != Some(Loss::Open) && !past.is_elsewhere;
        let has_work = past.talk.is_some() && !past.is_final && is_there;
        let (true, Some(base), Some(handle)) = (has_work, &past.base, &past.sandbox) else {
            return Ok(());
        };
        let repository = self.repository()?;
        let known = self
            .parts
            .source
            .known(&repository, &base.branch, &base.commit);
        self.base = Some(match known.await? {
            Some(base) => base,
            None => self.fetch_again(&repository, base).await?,
        });
        self.is_left_behind = !self.reopen(handle).await;
        Ok(())
    }

    /// Whether the run has come as far as a conversation, from where it goes on.
    fn has_talked(past: &Past) -> bool {
        past.base.is_some() && past.commands.is_some() && past.talk.is_some()
    }

    /// Opens the tool servers on the host, and with the right that they give finds the base again. Where there
    /// is no such right any more, what the model has made is saved.
    pub(super) async fn regain(&mut self, past: &Past) -> Result<(), Halt> {
        let regained = match self.check_token() {
            Ok(()) if !Self::has_talked(past) => return Ok(()),
            Ok(()) => self.regain_base(past).await,
            lost => lost,
        };
        let regained = match regained {
            Err(Halt::Later(later)) => Err(self.wait_or_end(later)),
            regained => regained,
        };
        if matches!(regained, Err(Halt::Failed(..) | Halt::Cancelled)) {
            self.look_for_work(past).await;
        }
        regained
    }

    /// A host that does not answer for a moment is no reason to end a run that was under way. One that is out
    /// of order for longer is waited for.
    async fn regain_base(&mut self, past: &Past) -> Result<(), Halt> {
        let repository = self.repository()?;
        let Some(base) = &past.base else {
            return Ok(());
        };
        for wait in REGAIN_WAITS {
            match self.try_regain(&repository, base).await {
                Err(
                    Halt::Failed(FailureKind::Clone, reason)
                    | Halt::Later(Later {
                        reason,
                        is_outage: true,
                        ..
                    }),
                ) => {
                    let message = format!("trying again in {} s: {reason}", wait.as_secs());
                    self.status(Stage::Clone, message).await;
                    tokio::time::sleep(wait).await;
                }
                regained => return regained,
            }
        }
        self.try_regain(&repository, base).await
    }

    async fn try_regain(&mut self, repository: &Repository, base: &PastBase) -> Result<(), Halt> {
        self.open_host_tools(repository).await?;
        self.base = Some(self.fetch_again(repository, base).await?);
        Ok(())
    }

    /// Brings a run to where its earlier owner was, and says what is left to do, once its base is regained.
    /// What comes before the conversation is done anew.
    pub(super) async fn go_on(&mut self, past: Past) -> Result<Left, Halt> {
        let kept = past.kept_here().map(str::to_owned);
        let regained = self.base.clone();
        let (Some(base), Some(commands), Some(talk)) = (regained, past.commands, past.talk) else {
            let notices = self.open_notices();
            left::clean_up(self.parts, &self.owned.id, notices).await;
            self.is_left_behind = false;
            return self.prepare().await.map(Left::Work);
        };
        let message = "going on where the run was left";
        self.status(Stage::Clone, message).await;
        self.go_on_removing().await;
        if past.is_final {
            self.work = self.restore_whole(&base, kept.as_deref()).await;
        }
        // What is pushed is what is proposed, whatever else is there.
        let is_worked_out = self.work.is_some() || self.pushed.is_some();
        // One that was not made ready holds less than it seems.
        let is_of_use = !is_worked_out && past.loss != Some(Loss::Open) && !past.is_elsewhere;
        let reopened = match &past.sandbox {
            Some(handle) if is_of_use => self.reopen(handle).await,
            Some(handle) => {
                self.give_back(handle).await;
                false
            }
            None => false,
        };
        self.parts.sandboxes.end_deserted(&self.owned.id);
        self.is_left_behind = false;
        if let Some(sandbox) = &self.sandbox {
            let always = &self.parts.config.sandbox.network.allow;
            sandbox.allow(always).await?;
        }
        self.preflight_again().await?;
        self.catch_up_again(&base).await?;
        if self.pushed.is_some() || self.pushing.is_some() {
            return Ok(Left::Nothing);
        }
        let is_said = !self.inbox.news().await.is_empty();
        if self.work.is_some() && self.is_checked(&commands) && !is_said {
            return Ok(Left::Checked { base, commands });
        }
        let prepared = self.prepared_again(base, commands, &talk).await?;
        if self.work.is_some() {
            self.conversation = Some(talk.conversation);
            return Ok(Left::Check(prepared));
        }
        let workplace = match (reopened, past.loss) {
            (true, Some(Loss::Made { has_work: true })) => Workplace::Rebuilt,
            (true, Some(Loss::Made { has_work: false })) => Workplace::Empty,
            (true, _) => Workplace::Reopened,
            (false, _) => self.rebuild(&prepared, kept.as_deref()).await?,
        };
        self.begun = Some(Begun {
            last: talk.last,
            workplace,
        });
        self.conversation = Some(talk.conversation);
        Ok(Left::Work(prepared))
    }

    async fn fetch_again(&self, repository: &Repository, base: &PastBase) -> Result<Base, Halt> {
        let published = self
            .followed
            .as_ref()
            .and_then(|followed| followed.published.as_ref());
        let here = published.filter(|published| published.branch == base.branch);
        let repository = match here {
            Some(published) => self.holder(published, repository)?,
            None => repository.clone(),
        };
        let credential = self.credential(&repository).await?;
        let fetch = Fetch {
            repository: &repository,
            branch: Some(&base.branch),
            commit: Some(&base.commit),
            since: None,
            credential: credential.as_ref(),
        };
        let fetched = self.parts.source.fetch(fetch).await;
        fetched.map_err(later_if_it_passes)
    }

    async fn prepared_again(
        &mut self,
        base: Base,
        commands: Commands,
        talk: &Talk,
    ) -> Result<Prepared, Halt> {
        let Talk { first, model, .. } = talk;
        let provider = self.open_provider(&model.provider, Some(&model.model));
        Ok(Prepared {
            base,
            commands,
            provider: provider.await?,
            edit_tool: self.edit_tool(&first.provider, &first.model),
        })
    }

    /// The work that the model ended with, unless its patch did not hold everything.
    async fn restore_whole(&self, base: &Base, tree: Option<&str>) -> Option<Work> {
        let work = self.restore_or_tell(base, Some(tree?)).await?;
        (Some(work.tree.as_str()) == tree).then_some(work)
    }

    /// The work as it was kept last, if it was.
    async fn restore(&self, base: &Base, tree: Option<&str>) -> Result<Option<Work>, Halt> {
        let run = &self.owned.id;
        let Some(patch) = self.parts.store.patch(run).await? else {
            return Ok(None);
        };
        let work = self.parts.source.restore(run, base, tree, &patch).await?;
        Ok(Some(work))
    }

    /// The work as it was kept last, if it was and can be used. Without a `tree` only its patch is.
    pub(super) async fn restore_or_tell(&self, base: &Base, tree: Option<&str>) -> Option<Work> {
        match self.restore(base, tree).await {
            Ok(work) => work,
            Err(error) => {
                let message = format!("the work that was kept cannot be used: {error}");
                self.status(Stage::Sandbox, message).await;
                None
            }
        }
    }

    /// Whether the checks have run on the work, and nothing is left to mend.
    fn is_checked(&self, commands: &Commands) -> bool {
        let has_run = |command: &String| self.after.iter().any(|known| known.command == *command);
        let is_faulty = self.is_refused() || !broken(&self.before, &self.after).is_empty();
        commands.checks.iter().all(has_run) && !(is_faulty && self.may_mend())
    }

    /// Ends a sandbox that is not needed any more.
    async fn give_back(&mut self, handle: &SandboxHandle) {
        let notices = self.open_notices();
        left::close_left(self.parts, &self.owned.id, handle, notices).await;
        self.remove_workspace().await;
    }

    /// Opens the sandbox of before, if that is possible.
    async fn reopen(&mut self, handle: &SandboxHandle) -> bool {
        let notices = self.open_notices();
        let sandbox = match self.parts.sandboxes.attach(handle, notices).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                let message = format!("the sandbox of before is not there any more: {error}");
                self.status(Stage::Sandbox, message).await;
                return false;
            }
        };
        self.take_sandbox(sandbox).await;
        self.unsaved = true;
        let message = "the sandbox is open again, with its files";
        self.status(Stage::Sandbox, message).await;
        true
    }

    /// Another sandbox, with the work as it was kept last.
    async fn rebuild(
        &mut self,
        prepared: &Prepared,
        kept: Option<&str>,
    ) -> Result<Workplace, Halt> {
        let (base, commands) = (&prepared.base, &prepared.commands);
        self.log.emit(Event::SandboxLost).await;
        let work = match kept {
            Some(tree) => self.restore_or_tell(base, Some(tree)).await,
            None => None,
        };
        self.remove_workspace().await;
        self.open_sandbox(base, work.as_ref(), commands).await?;
        self.set_up(commands).await?;
        let revision = work.as_ref().map_or(&base.commit, |work| &work.tree);
        self.settle(revision).await?;
        let has_work = work.is_some();
        self.log.emit(Event::WorkspaceRestored { has_work }).await;
        Ok(match work {
            Some(_) => Workplace::Rebuilt,
            None => Workplace::Empty,
        })
    }

    /// Has a sandbox from now on, and says so in the log.
    pub(super) async fn take_sandbox(&mut self, sandbox: Arc<dyn Sandbox>) {
        let handle = sandbox.handle();
        let opened = Event::SandboxOpened {
            kind: handle.kind,
            handle: handle.data,
            elsewhere: self.is_elsewhere,
        };
        self.log.emit(opened).await;
        self.sandbox = Some(sandbox);
    }
}

/// Whether the run may be what its servers die of.
fn has_stalled(past: &Past) -> bool {
    past.stalls >= MAX_STALLS
}

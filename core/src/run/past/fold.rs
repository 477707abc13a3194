//! Reads a run's log.

use std::time::Duration;

use pullwright_protocol::{
    Beginning, CheckPhase, CheckReport, Event, FollowedConversation, Item, LoggedEvent, Provenance,
    ResetReason, RunId,
};

use super::{Loss, Past, PastBase, Talk};
use crate::agent::{LastReply, heard_item, result_item};
use crate::conversation::Conversation;
use crate::run::catch_up::Pushing;
use crate::run::detect::Commands;
use crate::sandbox::SandboxHandle;
use crate::source::Pushed;
use crate::store::{RunStore, StoreError};

/// How many events are read at once.
const PAGE_EVENTS: usize = 512;

/// What the log of a run says.
pub(in crate::run) async fn read(store: &dyn RunStore, run: &RunId) -> Result<Past, StoreError> {
    let mut past = Past::default();
    loop {
        let page = store.read(run, past.last_seq, PAGE_EVENTS).await?;
        if page.is_empty() {
            past.settle();
            // One may be stored that the log did not come to tell.
            past.has_patch = store.patch(run).await?.is_some();
            return Ok(past);
        }
        page.into_iter().for_each(|logged| past.take(logged));
    }
}

impl Past {
    /// What was being shortened is what it was before.
    fn settle(&mut self) {
        if let Some(talk) = &mut self.talk
            && let Some(conversation) = talk.uncompacted.take()
        {
            talk.conversation = conversation;
            talk.last = None;
        }
    }

    fn take(&mut self, logged: LoggedEvent) {
        self.last_seq = logged.seq;
        self.spent.take(&logged);
        self.count_stalls(&logged.event);
        self.parked_at = match &logged.event {
            Event::Parked { stage, .. } => Some(*stage),
            _ => None,
        };
        match logged.event {
            Event::Parked { until_ms, .. } => {
                let wait = Duration::from_millis(until_ms.saturating_sub(logged.at_ms));
                self.parked += wait;
                if self.pr_url.is_some() {
                    self.parked_proposed += wait;
                }
            }
            Event::RunCreated { request } => self.request = Some(request),
            Event::RunFollowed { followed } => self.followed = Some(*followed),
            Event::RepositoryFetched { branch, commit, .. } => {
                self.base = Some(PastBase { branch, commit });
                self.before.clear();
            }
            Event::Resumed { gives_up, .. } => self.is_given_up |= gives_up,
            Event::CommandsChosen { setup, checks } => {
                self.commands = Some(Commands { setup, checks });
            }
            Event::SandboxOpened {
                kind,
                handle,
                elsewhere,
            } => {
                self.is_elsewhere = elsewhere;
                self.sandbox = Some(SandboxHandle { kind, data: handle });
            }
            Event::SandboxLost => self.loss = Some(Loss::Open),
            Event::WorkspaceRestored { has_work } => self.loss = Some(Loss::Made { has_work }),
            Event::PatchStored {
                tree,
                files,
                during_work,
                ..
            } => {
                self.kept = Some(tree);
                self.kept_files = files;
                self.kept_on = self.base.clone().or_else(|| self.kept_before());
                self.is_final = !during_work;
                self.after.clear();
            }
            Event::Checked { report } => self.take_check(report),
            Event::RepairAsked => self.repairs += 1,
            Event::PatchRemoved => {
                self.kept = None;
                self.is_final = false;
                self.after.clear();
            }
            Event::PushStarted {
                branch,
                tree,
                onto,
                fork,
                moved,
                verified,
            } => {
                // A branch that the run began on is not made by it.
                let made = self.base.as_ref().filter(|base| base.branch != branch);
                if let Some(base) = made.filter(|_| verified) {
                    let commit = onto.as_ref().unwrap_or(&base.commit);
                    self.begun_at.push(commit.clone());
                }
                self.pushing = Some(Pushing {
                    tree,
                    onto,
                    fork,
                    moved,
                    verified,
                });
            }
            Event::BranchPushed {
                branch,
                commit,
                check_files,
                ..
            } => {
                self.pushed = Some(Pushed { branch, commit });
                self.check_files = check_files;
            }
            Event::PullRequestOpened { url, number, .. } => {
                (self.pr_url, self.pr_number) = (Some(url), Some(number));
            }
            Event::Done {
                outcome, summary, ..
            } => self.done = Some((outcome, summary)),
            event => self.take_talk(event),
        }
    }

    /// What the work is a change to that was taken over from the run that is followed.
    fn kept_before(&self) -> Option<PastBase> {
        let kept = self.followed.as_ref()?.kept.as_ref()?;
        Some(PastBase {
            branch: kept.branch.clone(),
            commit: kept.commit.clone(),
        })
    }

    fn count_stalls(&mut self, event: &Event) {
        match event {
            Event::Resumed { .. } => self.stalls += 1,
            // What is only done again brings the run no further.
            Event::CommandsChosen { .. } if self.commands.is_some() => {}
            Event::Checked { report } if self.knows(report) => {}
            Event::PatchStored { tree, .. } if self.kept.as_ref() == Some(tree) => {}
            Event::CommandsChosen { .. }
            | Event::ModelReplied { .. }
            | Event::ToolAnswered { .. }
            | Event::Checked { .. }
            | Event::PatchStored { .. }
            | Event::BranchPushed { .. }
            | Event::PullRequestOpened { .. }
            // Who waits has not died.
            | Event::Parked { .. } => self.stalls = 0,
            _ => {}
        }
    }

    fn knows(&self, report: &CheckReport) -> bool {
        let mut known = self.before.iter().chain(&self.after);
        known.any(|known| {
            (&known.command, known.phase, &known.tree)
                == (&report.command, report.phase, &report.tree)
        })
    }

    fn take_check(&mut self, report: CheckReport) {
        let reports = match report.phase {
            CheckPhase::Before => &mut self.before,
            CheckPhase::After => &mut self.after,
        };
        // A check that was interrupted with its server has run again.
        let is_same = |known: &CheckReport| {
            known.command == report.command
                && (known.phase == CheckPhase::Before || known.tree == report.tree)
        };
        reports.retain(|known| !is_same(known));
        reports.push(report);
    }

    fn take_talk(&mut self, event: Event) {
        if let Event::ConversationStarted {
            provenance,
            system,
            tools,
            beginning,
            ..
        } = event
        {
            let followed = self.followed.as_ref();
            let before = followed.and_then(|followed| followed.conversation.as_ref());
            let empty = Conversation::new(system, tools);
            self.talk = Some(match before {
                Some(before) if !beginning.is_empty() => {
                    Talk::after(before, empty, beginning, provenance)
                }
                _ => Talk::new(empty, provenance.clone(), provenance),
            });
            return;
        }
        if let Event::MessageHeard { number, text } = &event {
            self.heard.insert(*number);
            self.is_final = false;
            if let Some(talk) = &mut self.talk {
                talk.take_item(&heard_item(text));
            }
            return;
        }
        let is_told = matches!(&event, Event::ItemAppended { item } if !item.is_from_model());
        if is_told && matches!(self.loss, Some(Loss::Made { .. })) {
            self.loss = None;
        }
        if is_told {
            self.is_final = false;
        }
        if let Some(talk) = &mut self.talk {
            talk.take(event);
        }
    }
}

impl Talk {
    fn new(conversation: Conversation, first: Provenance, model: Provenance) -> Self {
        Self {
            conversation,
            rows: vec![model.provider.clone()],
            first,
            model,
            last: None,
            uncompacted: None,
        }
    }

    /// One that begins with what was said in another.
    fn after(
        before: &FollowedConversation,
        empty: Conversation,
        beginning: Beginning,
        model: Provenance,
    ) -> Self {
        let conversation = empty.after(before, beginning);
        Self::new(conversation, before.first.clone(), model)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::CompactionStarted => self.uncompacted = Some(self.conversation.clone()),
            Event::CompactionEnded => self.uncompacted = None,
            Event::ProviderChanged { provenance, .. } => {
                self.rows.push(provenance.provider.clone());
                self.model = provenance;
            }
            Event::ModelReplied { stop, usage, .. } => {
                self.conversation.measured(usage.input_tokens);
                self.last = Some(LastReply::new(stop));
            }
            Event::ItemAppended { item } => self.take_item(&item),
            Event::ToolAnswered { .. } => {
                self.conversation.push(&result_item(&event));
                if let Some(last) = &mut self.last {
                    last.answered();
                }
            }
            Event::ConversationReset { reason, items, .. } => {
                self.conversation = match reason {
                    ResetReason::TooLong => self.conversation.anew(&items),
                    ResetReason::ReasoningRejected => self.conversation.without_reasoning(),
                };
                self.last = None;
            }
            _ => {}
        }
    }

    fn take_item(&mut self, item: &Item) {
        self.conversation.push(item);
        match &mut self.last {
            Some(last) if item.is_from_model() => last.push(item.clone()),
            last => *last = None,
        }
    }
}

#[cfg(test)]
mod tests;

//! Following another run: its change is gone on with, by a model that knows what was said and done.
//!
//! All that is needed of the other run's log is written into this one's before anything else is done. From
//! then on this run is like any other: it can be gone on with, and followed, from its log alone.

mod read;
mod start;
mod told;

use pullwright_protocol::{Beginning, CheckReport, Event, Provenance, Published};

use super::Run;
use super::way::Way;
use crate::agent::Halt;
use crate::config::{Config, EditTool};
use crate::conversation::Conversation;
use crate::source::Base;
use crate::tools::ToolBox;

pub(super) use start::Start;
pub(super) use told::{follow_up, task};

impl Run<'_> {
    /// Takes over what the run that is followed has left, unless that is done already.
    pub(super) async fn take_over_followed(&mut self) -> Result<(), Halt> {
        let Some(run) = &self.owned.request.follows else {
            return Ok(());
        };
        if self.followed.is_some() {
            return Ok(());
        }
        let read = read::read(self.parts.store.as_ref(), run).await?;
        let mut events = vec![Event::RunFollowed {
            followed: Box::new(read.followed.clone()),
        }];
        if let (Some(kept), Some(patch)) = (&read.followed.kept, &read.patch) {
            self.store_patch(patch).await?;
            events.push(Event::PatchStored {
                bytes: patch.len() as u64,
                files: kept.files,
                tree: kept.tree.clone(),
                during_work: true,
            });
        }
        self.log.emit_all(events).await;
        self.followed = Some(read.followed);
        Ok(())
    }

    /// The provider row and the model to work with: those of the run that is followed, as far as the
    /// configuration still has them.
    pub(super) fn choose_model(&mut self) -> (String, Option<String>) {
        let (config, request) = (&self.parts.config, &self.owned.request);
        // A run that follows asks for what was there when its first one was started.
        let is_there =
            |row: &&String| self.followed.is_none() || config.providers.contains_key(*row);
        let asked = request.provider.as_ref().filter(is_there);
        let row = match (asked, self.model_before()) {
            (Some(asked), _) => asked.clone(),
            (None, Some(before)) if is_in_use(config, &before.provider) => before.provider.clone(),
            (None, _) => config.agent.provider.clone(),
        };
        // The model that was asked for is one of the row that was asked for.
        let usual = request.provider.as_ref().unwrap_or(&config.agent.provider);
        let model = request.model.clone().filter(|_| row == *usual);
        if request.provider.is_none() && row != *usual {
            self.fallback.push_back(usual.clone());
        }
        self.fallback.retain(|other| *other != row);
        (row, model)
    }

    fn model_before(&self) -> Option<&Provenance> {
        let conversation = self.followed.as_ref()?.conversation.as_ref()?;
        Some(&conversation.last)
    }

    /// How the model changes files: in the way that it knows from the conversation, if there was one.
    pub(super) fn edit_tool_known(&self) -> Option<EditTool> {
        let conversation = self.followed.as_ref()?.conversation.as_ref()?;
        let Provenance {
            provider, model, ..
        } = &conversation.first;
        Some(self.edit_tool(provider, model))
    }

    /// The conversation that the run before has left, if there was one, and how much of it holds.
    pub(super) fn conversation_before(
        &self,
        tools: &ToolBox,
        system: &str,
    ) -> (Conversation, Beginning) {
        let specs = tools.specs();
        let followed = self.followed.as_ref();
        let before = followed.and_then(|followed| followed.conversation.as_ref());
        let beginning = match before {
            None => Beginning::Empty,
            // Reasoning is bound to everything before it.
            Some(before) if before.system == system && before.tools == specs => Beginning::Followed,
            Some(_) => Beginning::FollowedWithoutReasoning,
        };
        let empty = Conversation::new(system.to_owned(), specs);
        match before {
            Some(before) => (empty.after(before, beginning), beginning),
            None => (empty, beginning),
        }
    }

    /// The branch that grows by this run's commit, if it goes on where another run has published.
    pub(super) fn grows(&self, base: &Base) -> Option<&Published> {
        self.grown(&base.branch)
    }

    /// The same for a run that began on this branch.
    pub(super) fn grown(&self, base: &str) -> Option<&Published> {
        let published = self.followed.as_ref()?.published.as_ref()?;
        (published.branch == base).then_some(published)
    }

    /// Whether the branch that grows holds what was never proposed, although it can be.
    pub(super) fn is_unproposed(&self, base: &Base) -> bool {
        let earlier = self.grows(base);
        let is_published = !matches!(self.way, Way::Patch(_));
        is_published
            && self.forge.is_some()
            && earlier.is_some_and(|earlier| earlier.pr_url.is_none())
    }

    /// What the checks said before the change began, where that was on an earlier commit of the branch.
    pub(super) fn baseline_before(&self, base: &Base) -> Vec<CheckReport> {
        let earlier = self.grows(base);
        earlier.map_or_else(Vec::new, |earlier| earlier.before.clone())
    }

    /// The branch that the change is proposed to.
    pub(super) fn target(&self, base: &Base) -> String {
        let before = self
            .followed
            .as_ref()
            .filter(|_| self.grows(base).is_some());
        let target = before.and_then(|followed| followed.target.clone());
        target.unwrap_or_else(|| base.branch.clone())
    }
}

/// Whether runs that do not say otherwise may come to a provider row.
fn is_in_use(config: &Config, row: &String) -> bool {
    let agent = &config.agent;
    config.providers.contains_key(row) && (agent.provider == *row || agent.fallback.contains(row))
}

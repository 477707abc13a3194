//! What a run means to push, and where it is to be merged: as much as is known before there is any work.

use pullwright_protocol::Publish;
use pullwright_protocol::forge::{ForgePreflight, ForgeRepository, PlannedPush, Preflight};

use super::Run;
use crate::config::MovedBase;

impl Run<'_> {
    /// What the forge is asked before the work begins.
    pub(super) fn planned(&self, repository: ForgeRepository) -> ForgePreflight {
        ForgePreflight {
            repository,
            base: self.planned_base(),
            push: self.planned_push(),
        }
    }

    /// The branch that the change is proposed to, where that is not left to the forge.
    fn planned_base(&self) -> Option<String> {
        let before = self.followed.as_ref();
        let before = before.and_then(|followed| followed.target.clone());
        before.or_else(|| self.owned.request.base_branch.clone())
    }

    /// What is pushed to the repository itself. What rules a fork has is not asked.
    fn planned_push(&self) -> Option<PlannedPush> {
        if !matches!(self.wanted(), Publish::Auto | Publish::Branch) {
            return None;
        }
        let published = self.followed.as_ref();
        let published = published.and_then(|followed| followed.published.as_ref());
        let grown = match &self.base {
            Some(base) => self.grows(base),
            None => published.filter(|_| self.closed.is_none()),
        };
        if grown.is_some_and(|published| published.fork.is_some()) {
            return None;
        }
        let grows = grown.is_some();
        let branch = grown.map_or_else(|| self.new_branch(), |published| published.branch.clone());
        let config = &self.parts.config;
        Some(PlannedPush {
            branch,
            grows,
            email: Some(config.commit.email.clone()),
            merges: !grows && config.repositories.moved_base == MovedBase::Merge,
            verified: self.may_be_verified(),
        })
    }

    /// What it takes to merge the change, in a sentence; nothing where nothing is known to be needed, or where
    /// nothing is to be merged.
    pub(super) fn merge_needs(&self, rights: &Preflight) -> Option<String> {
        if self.wanted() == Publish::Patch {
            return None;
        }
        let (last, others) = rights.merge_needs.split_last()?;
        let needs = match others {
            [] => last.clone(),
            others => format!("{} and {last}", others.join(", ")),
        };
        let base = self.planned_base();
        let base = base.as_deref().unwrap_or(&rights.default_branch);
        Some(format!(
            "to be merged into {base}, the change will need {needs}"
        ))
    }
}

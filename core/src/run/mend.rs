//! Mend: what is wrong with the work goes back to the model, a bounded number of times.

use pullwright_protocol::{CheckReport, Event, Item, Stage};

use super::{Prepared, Run, prompt};
use crate::agent::Halt;

impl Run<'_> {
    /// Whether the model may be asked once more.
    pub(super) fn may_mend(&self) -> bool {
        self.repairs < self.parts.config.checks.max_repairs
    }

    /// Whether the work holds what may not be pushed.
    pub(super) fn is_refused(&self) -> bool {
        self.work
            .as_ref()
            .is_some_and(|work| !work.refusals.is_empty())
    }

    /// Tells the model what may not be pushed, in a sandbox that holds its work.
    pub(super) async fn ask_for_other_work(&mut self, prepared: &Prepared) -> Result<(), Halt> {
        let Some(work) = self.work.clone() else {
            return Ok(());
        };
        // It was done under another owner.
        if self.sandbox.is_none() {
            self.open_on_work(prepared, &work).await?;
            self.settle(&work.tree).await?;
        }
        let message = format!(
            "the change may not be pushed as it is, and the model mends it: {}",
            work.refusals.join("; ")
        );
        self.ask(prompt::refused(&work.refusals), message).await;
        Ok(())
    }

    /// Tells the model which checks its change broke.
    pub(super) async fn ask_for_repair(&mut self, broken: &[CheckReport]) {
        let broken: Vec<&CheckReport> = broken.iter().collect();
        let message = match broken.len() {
            1 => "1 check was broken by the change; the model mends it".to_owned(),
            count => format!("{count} checks were broken by the change; the model mends them"),
        };
        self.ask(prompt::broken_checks(&broken), message).await;
    }

    async fn ask(&mut self, text: String, message: String) {
        self.repairs += 1;
        let item = Item::user(text);
        if let Some(conversation) = &mut self.conversation {
            conversation.push(&item);
        }
        let asked = vec![Event::RepairAsked, Event::ItemAppended { item }];
        self.log.emit_all(asked).await;
        self.status(Stage::Work, message).await;
    }
}

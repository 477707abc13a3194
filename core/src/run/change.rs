//! The making of a change: prepare, work, check, and again until nothing is left to mend.

use pullwright_protocol::{Outcome, Stage};

use super::keep::Taking;
use super::past::Past;
use super::{Ended, Left, Prepared, Run};
use crate::agent::Halt;
use crate::source::Work;

impl Run<'_> {
    /// Prepare, work, check. Answers how the run ended where there is nothing to publish.
    pub(super) async fn make_change(&mut self, past: Option<Past>) -> Result<Option<Ended>, Halt> {
        let left = match past {
            Some(past) => {
                self.regain(&past).await?;
                self.go_on(past).await?
            }
            None => {
                self.check_token()?;
                Left::Work(self.prepare().await?)
            }
        };
        let (mut prepared, mut is_worked_out) = match left {
            Left::Work(prepared) => (prepared, false),
            Left::Check(prepared) => (prepared, true),
            Left::Checked { base, commands } => {
                self.catch_up(&base, &commands).await?;
                return Ok(None);
            }
            Left::Nothing => return Ok(None),
        };
        loop {
            if !is_worked_out {
                self.make_work(&mut prepared).await?;
            }
            if self.work.as_ref().is_none_or(Work::is_empty) {
                if self.has_news(&prepared).await? {
                    is_worked_out = false;
                    continue;
                }
                if !self.is_unproposed(&prepared.base) {
                    return Ok(Some(self.no_changes()));
                }
            }
            if self.owned.hand_over.soon.is_cancelled() {
                return Err(Halt::HandedOver);
            }
            if self.is_refused() && self.may_mend() {
                self.ask_for_other_work(&prepared).await?;
                is_worked_out = false;
                continue;
            }
            let broken = self.check(&prepared).await?;
            if !broken.is_empty() && self.may_mend() {
                self.ask_for_repair(&broken).await;
            } else if !self.has_news(&prepared).await? {
                self.catch_up(&prepared.base, &prepared.commands).await?;
                if !self.has_news(&prepared).await? {
                    return Ok(None);
                }
            }
            is_worked_out = false;
        }
    }

    /// Lets the model work, and takes in what it made.
    async fn make_work(&mut self, prepared: &mut Prepared) -> Result<(), Halt> {
        let tools = self.open_tools(prepared.edit_tool).await?;
        if self.conversation.is_none() {
            self.start_conversation(prepared, &tools).await?;
        }
        self.last_words = self.work(prepared, &tools).await?;
        self.take_in(&prepared.base, Taking::AtEnd).await?;
        let notices = self.work.as_ref().map(|work| work.notices.clone());
        for notice in notices.into_iter().flatten() {
            self.status(Stage::Check, notice).await;
        }
        Ok(())
    }

    fn no_changes(&self) -> Ended {
        Ended {
            outcome: Outcome::NoChanges,
            summary: match self.last_words.trim() {
                "" => "the model finished without changing anything".to_owned(),
                words => words.to_owned(),
            },
        }
    }
}

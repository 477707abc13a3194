//! What people say to the models of runs.
//!
//! A run is followed by at most one other, so a run and those that follow it are a line. What is said to any
//! of them is for the last: its model hears it while it works, and a run that has ended is followed.

use pullwright_core::log::now_ms;
use pullwright_core::store::{NewMessage, Posted, RunRecord, StoreError};
use pullwright_protocol::{RunId, RunRequest};

use super::{Caller, Runs, StartError};
use crate::problem::ApiProblem;

/// What became of something that was said to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The model of this run hears it, under this number.
    Heard {
        /// The run.
        run: RunId,
        /// The number; later messages have greater ones.
        number: u64,
    },
    /// This run was started for it, by an earlier request with the same idempotency key.
    Joined(RunId),
    /// This run has all the messages that one takes.
    Full(RunId),
    /// This run, the last one, has ended: another one may follow it.
    Ended(Box<RunRecord>),
}

impl Runs {
    /// Leaves a message for the model of a run, or of the last that follows it, which hears it before its
    /// next turn, wherever that run is. With an idempotency key of `caller`, a retry says it once.
    ///
    /// # Errors
    /// When the text is refused, the key came before with another one, there is no such run, or the store
    /// fails.
    pub async fn say(
        &self,
        run: &RunId,
        text: &str,
        key: Option<&str>,
        caller: &Caller,
    ) -> Result<Said, StartError> {
        let limits = &self.shared.config.request;
        limits.check_message(text).map_err(StartError::Refused)?;
        let line = self.line_of(run).await?;
        if let Some(key) = key
            && let Some(said) = self.said_before(&line, text, key, caller).await?
        {
            return Ok(said);
        }
        let last = line.last().unwrap_or(run).clone();
        let message = NewMessage {
            id: match key {
                Some(key) => message_id(caller, key),
                None => uuid::Uuid::now_v7().to_string(),
            },
            run: last.clone(),
            text: text.to_owned(),
            at_ms: now_ms(),
        };
        Ok(match self.shared.store.post(message).await? {
            Posted::Accepted(number) => Said::Heard { run: last, number },
            Posted::Full => Said::Full(last),
            Posted::Ended => Said::Ended(Box::new(self.record(&last).await?)),
        })
    }

    /// What to ask of a run that follows `ended`, to do what `message` says.
    #[must_use]
    pub fn following(&self, ended: &RunRecord, message: String) -> RunRequest {
        let mut request = ended.request.following(&ended.id, message);
        self.shared.validate.suit(&mut request);
        request
    }

    /// A run and those that follow it, one after the other.
    async fn line_of(&self, run: &RunId) -> Result<Vec<RunId>, StoreError> {
        let mut line = vec![run.clone()];
        let mut last = run.clone();
        while let Some(follower) = self.shared.store.follower(&last).await? {
            line.push(follower.clone());
            last = follower;
        }
        Ok(line)
    }

    /// What became of an earlier request with the same key. The line was read before: it would have been
    /// there for a run of that request to be in it.
    async fn said_before(
        &self,
        line: &[RunId],
        text: &str,
        key: &str,
        caller: &Caller,
    ) -> Result<Option<Said>, StartError> {
        let reused = || StartError::Refused(ApiProblem::key_reused());
        let store = &self.shared.store;
        if let Some((run, message)) = store.message(&message_id(caller, key)).await? {
            let is_same = line.contains(&run) && message.text == text;
            let number = message.number;
            return is_same
                .then_some(Some(Said::Heard { run, number }))
                .ok_or_else(reused);
        }
        let Some(started) = store.keyed(caller.name.as_deref(), key).await? else {
            return Ok(None);
        };
        let request = self.record(&started).await?.request;
        let follows = request
            .follows
            .is_some_and(|followed| line.contains(&followed));
        let is_same = follows && request.prompt == text;
        is_same
            .then_some(Some(Said::Joined(started)))
            .ok_or_else(reused)
    }
}

/// Names a message by the key of who says it.
fn message_id(caller: &Caller, key: &str) -> String {
    serde_json::json!(["key", caller.name, key]).to_string()
}

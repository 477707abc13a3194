//! What is said to a run whose pull request or issue people write about.

use pullwright_core::store::StoreError;
use pullwright_protocol::{Event, RunId, RunOrigin};

use super::act::{Case, Stop};
use super::ask::Thread;
use super::prompt;
use super::settings::OWNER;
use super::worker::PAGE_EVENTS;
use crate::access::{Action, AuditEntry};
use crate::runs::{Said, StartError};

/// How often somebody else may be faster in following a run.
const MAX_RACES: usize = 8;

impl Case<'_> {
    /// Says it to a run on behalf of somebody. Answers the run that is started for it.
    pub(super) async fn say(
        &self,
        run: &RunId,
        message: String,
        by: &str,
        thread: &Thread,
    ) -> Result<RunId, Stop> {
        let origin = |issue| RunOrigin {
            asked_by: Some(by.to_owned()),
            thread: thread.number,
            issue,
            repair: None,
        };
        self.say_as(run, message, &format!("@{by} wrote it"), origin)
            .await
    }

    /// The same for whoever: `origin` makes of the settled issue, if there is one, where a run that is started
    /// comes from.
    pub(super) async fn say_as(
        &self,
        run: &RunId,
        message: String,
        why: &str,
        origin: impl Fn(Option<u64>) -> RunOrigin,
    ) -> Result<RunId, Stop> {
        let (runs, settings) = (&self.handler.runs, self.handler.settings());
        let message = prompt::fit(message, settings.max_prompt_chars);
        let (mut key, caller) = (self.key(), settings.caller());
        for _ in 0..MAX_RACES {
            let ended = match runs.say(run, &message, Some(&key), &caller).await? {
                Said::Heard { run, number } => {
                    if self.misses(&run, number).await? {
                        // The message stays with that run; the next one gets it under a key of its own.
                        key = format!("{}:after:{run}", self.key());
                        continue;
                    }
                    let said = AuditEntry::now(Some(OWNER), Action::RunMessaged).to(&run.0);
                    let said = said.on(&self.ask.repo_url).saying(why);
                    self.handler.access.record(said).await;
                    return Err(Stop::Settled(format!("it is said to run {run}")));
                }
                Said::Joined(run) => return Ok(run),
                Said::Full(run) => {
                    let message = format!(
                        "Run `{run}` has all the messages that one takes; wait until it ends."
                    );
                    return Err(Stop::Refused(message));
                }
                Said::Ended(ended) => ended,
            };
            if ended.retired.is_some() {
                let message = "The run that made this change ended long ago and cannot be gone on with. Mention me \
                               on an issue.";
                return Err(Stop::Refused(message.to_owned()));
            }
            let mut request = runs.following(&ended, message.clone());
            let earlier = request.origin.as_ref();
            request.origin = Some(origin(earlier.and_then(|earlier| earlier.issue)));
            match self.start_as(request, &key, why).await {
                Err(StartError::FollowedBy(_)) => {}
                started => return Ok(started?),
            }
        }
        Err(Stop::Later(format!(
            "run {run} is followed by many at once"
        )))
    }

    /// Whether a run has ended without a message: it came while the change was being published, for instance.
    /// As long as that is open, the delivery waits.
    async fn misses(&self, run: &RunId, number: u64) -> Result<bool, Stop> {
        // Read before the events: what has ended gets no more of them.
        let record = self.handler.runs.store().get(run).await?;
        if self.has_heard(run, number).await? {
            return Ok(false);
        }
        match record.is_none_or(|record| record.outcome.is_some()) {
            true => Ok(true),
            false => Err(Stop::Waits(format!("run {run} has not heard it yet"))),
        }
    }

    async fn has_heard(&self, run: &RunId, message: u64) -> Result<bool, StoreError> {
        let store = self.handler.runs.store();
        let is_it = |event: &Event| matches!(event, Event::MessageHeard { number, .. } if *number == message);
        let mut after = 0;
        loop {
            let page = store.read(run, after, PAGE_EVENTS).await?;
            let Some(last) = page.last() else {
                return Ok(false);
            };
            after = last.seq;
            if page.iter().any(|logged| is_it(&logged.event)) {
                return Ok(true);
            }
        }
    }
}

//! What is said to a run whose pull request or issue people write about.

use pullwright_protocol::{RunId, RunOrigin};

use super::act::{Case, Stop};
use super::ask::Thread;
use super::prompt;
use super::settings::OWNER;
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
        let (key, caller) = (self.key(), settings.caller());
        for _ in 0..MAX_RACES {
            let ended = match runs.say(run, &message, Some(&key), &caller).await? {
                Said::Heard { run, .. } => {
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
            match self.start_as(request, why).await {
                Err(StartError::FollowedBy(_)) => {}
                started => return Ok(started?),
            }
        }
        Err(Stop::Later(format!(
            "run {run} is followed by many at once"
        )))
    }
}

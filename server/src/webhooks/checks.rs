//! A failed check on a commit of ours: its run is told to repair it, a bounded number of times.

use pullwright_core::store::RunRecord;
use pullwright_protocol::{Event, RunId, RunOrigin};

use super::act::{Case, Stop};
use super::prompt;
use super::worker::PAGE_EVENTS;

impl Case<'_> {
    pub(super) async fn repair(&self, commit: &str) -> Result<RunId, Stop> {
        let settled = |why: &str| Stop::Settled(why.to_owned());
        let most = self.handler.settings().repair_attempts;
        if most == 0 {
            return Err(settled("failed checks are not repaired here"));
        }
        let Some(run) = self.handler.deliveries().pushed_by(commit).await? else {
            return Err(settled("the commit is not ours"));
        };
        let record = self.last_run_of(&run).await?;
        let number = self.pull_request_of(&run).await?;
        let number = number.ok_or_else(|| settled("the commit is in no pull request"))?;
        if !self.forge.pull_request_head(number).await?.is_open {
            return Err(settled("the pull request is not open"));
        }
        let origin = record.request.origin.as_ref();
        let attempt = 1 + origin.and_then(|origin| origin.repair).unwrap_or(0);
        if attempt > most {
            self.tell(number, &given_up(most, &self.handler.settings().mention))
                .await;
            return Err(Stop::Settled(format!("{most} attempts were made")));
        }
        let failed = self.forge.failed_checks(commit).await?;
        let message = prompt::checks_failed(commit, &failed);
        let origin = |issue| RunOrigin {
            asked_by: None,
            thread: number,
            issue,
            repair: Some(attempt),
        };
        let why = format!("a check of {commit} failed");
        self.say_as(&run, message, &why, origin).await
    }

    /// The run, if it has ended and nobody goes on with its change.
    async fn last_run_of(&self, run: &RunId) -> Result<RunRecord, Stop> {
        let store = self.handler.runs.store();
        let Some(record) = store.get(run).await? else {
            return Err(Stop::Settled(format!("there is no run {run}")));
        };
        let source = &self.handler.parts().source;
        let named = |url: &str| {
            source
                .accept(url)
                .ok()
                .map(|repository| (repository.host, repository.path))
        };
        if named(&record.request.repo_url) != named(&self.ask.repo_url) {
            return Err(Stop::Settled(format!("run {run} is on another repository")));
        }
        if record.outcome.is_none() {
            return Err(Stop::Waits(format!("run {run} has not ended yet")));
        }
        match store.follower(run).await? {
            Some(follower) => Err(Stop::Settled(format!(
                "run {follower} goes on with the change"
            ))),
            None => Ok(record),
        }
    }

    async fn pull_request_of(&self, run: &RunId) -> Result<Option<u64>, Stop> {
        let store = self.handler.runs.store();
        let (mut after, mut number) = (0, None);
        loop {
            let page = store.read(run, after, PAGE_EVENTS).await?;
            let Some(last) = page.last() else {
                return Ok(number);
            };
            after = last.seq;
            for logged in page {
                if let Event::PullRequestOpened { number: opened, .. } = logged.event {
                    number = Some(opened);
                }
            }
        }
    }
}

fn given_up(most: u32, mention: &str) -> String {
    let times = if most == 1 { "once" } else { "several times" };
    format!(
        "Checks still fail after I have tried {times} to repair them, so I leave it to people now. Mention \
         `{mention}` in a comment with a hint, and I go on."
    )
}

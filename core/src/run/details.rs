//! Labels and people of a pull request, once it is open.

use std::time::Duration;

use pullwright_protocol::Stage;
use pullwright_protocol::forge::PullRequestDetails;

use super::Run;
use super::past::{Past, PastBase};
use crate::agent::{Halt, Later};

/// What is told of a run that ends before they were known to be set.
const ENDED_BEFORE: &str = "\
the pull request may lack its labels and people, since the run ended while they were waited for; set them by hand";

/// How long labels and people are waited for in all: meanwhile nobody does what is said to the run.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

impl Run<'_> {
    /// Labels the pull request, and asks the people who are configured. A code host that takes it later is waited
    /// for; what is not taken is told, and the change is proposed all the same.
    pub(super) async fn set_details(&mut self, number: u64) -> Result<(), Halt> {
        self.put_details(number, false).await
    }

    async fn put_details(&mut self, number: u64, again: bool) -> Result<(), Halt> {
        let config = &self.parts.config.pull_request;
        let (Some(forge), true) = (&self.forge, self.wants_details()) else {
            return Ok(());
        };
        let set = forge.set_details(|repository| PullRequestDetails {
            repository,
            number,
            labels: config.labels.clone(),
            reviewers: config.reviewers.clone(),
            team_reviewers: config.team_reviewers.clone(),
            assignees: config.assignees.clone(),
            again,
        });
        let set = match set.await {
            Err(Halt::Later(later)) => match self.may_wait_for_details(later).await {
                Ok(later) => return Err(Halt::Later(later)),
                Err(given_up) => Err(given_up),
            },
            set => set.map(|set| set.warnings),
        };
        match set {
            Ok(warnings) => self.tell_lacking(warnings).await,
            Err(halt) => self.tell_without_details(&halt).await,
        }
        Ok(())
    }

    /// The same for a pull request that an earlier owner has opened. Whether it came so far is not known, and what
    /// is there already is not put there twice.
    pub(super) async fn set_details_again(&mut self, past: &Past) -> Result<(), Halt> {
        let Some(number) = past.pr_number.filter(|_| self.may_lack_details(past)) else {
            return Ok(());
        };
        // Nobody waits for them who wants the run to end, or if they may be what its servers die of.
        if self.owned.cancel.is_cancelled() || self.is_given_up(past) {
            self.tell_lacking(vec![ENDED_BEFORE.to_owned()]).await;
            return Ok(());
        }
        match self.open_forge_again().await {
            Ok(()) => self.put_details(number, true).await,
            Err(halt) => {
                self.tell_without_details(&halt).await;
                Ok(())
            }
        }
    }

    /// Neither for long, nor while somebody wants something more, which the run after this one does.
    async fn may_wait_for_details(&self, later: Later) -> Result<Later, Halt> {
        let later = self.may_wait(later)?;
        let why = if self.waited_for_details + later.wait > LONGEST_WAIT {
            let minutes = LONGEST_WAIT.as_secs() / 60;
            format!("labels and people are waited for at most {minutes} minutes in all")
        } else if !self.inbox.news().await.is_empty() {
            "they are not waited for, since something more was said to the run".to_owned()
        } else {
            return Ok(later);
        };
        let message = format!("{}; {why}; set them by hand", later.reason);
        Err(Halt::Failed(later.kind, message))
    }

    async fn open_forge_again(&mut self) -> Result<(), Halt> {
        self.check_token()?;
        let repository = self.repository()?;
        self.open_host_tools(&repository).await
    }

    fn may_lack_details(&self, past: &Past) -> bool {
        let is_new = past.base.as_ref().is_none_or(|base| self.proposes(base));
        self.wants_details() && is_new
    }

    /// Whether the change of a branch is proposed anew.
    fn proposes(&self, base: &PastBase) -> bool {
        let earlier = self.grown(&base.branch);
        earlier.is_none_or(|earlier| earlier.pr_url.is_none())
    }

    fn wants_details(&self) -> bool {
        let config = &self.parts.config.pull_request;
        let lists = [
            &config.labels,
            &config.reviewers,
            &config.team_reviewers,
            &config.assignees,
        ];
        lists.iter().any(|list| !list.is_empty())
    }

    pub(super) async fn tell_without_details(&mut self, halt: &Halt) {
        let warning = format!("the pull request did not get its details: {halt}");
        self.tell_lacking(vec![warning]).await;
    }

    /// Says it now, and once more at the end, which is what people read.
    async fn tell_lacking(&mut self, warnings: Vec<String>) {
        for warning in &warnings {
            self.status(Stage::Publish, format!("WARNING: {warning}"))
                .await;
        }
        self.lacking = warnings;
    }
}

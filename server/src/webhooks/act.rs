//! What is done for a delivery: a run is started, or something is said to one.

use std::time::Duration;

use pullwright_core::forge::{Forge, ForgeError};
use pullwright_core::store::{RunFilter, RunRecord, StoreError};
use pullwright_protocol::forge::ForgeComment;
use pullwright_protocol::{RunId, RunOrigin, RunRequest};

use super::ask::{Ask, Cause, Thread, Words};
use super::prompt;
use super::settings::OWNER;
use super::store::Delivery;
use super::worker::Handler;
use crate::access::{Action, AuditEntry};
use crate::problem::ApiProblem;
use crate::runs::{StartError, Started};

/// Among how many of the latest runs on a repository one for an issue is looked for.
const MAX_LOOKED_AT: usize = 100;

/// Why no run is started.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nothing is left to do.
    Settled(String),
    /// It cannot be done, and whoever asked is told so.
    Refused(String),
    /// It may be done later.
    Later(String),
    /// The forge says when to ask it again.
    NotBefore(Duration, String),
    /// It is done, or may be done, once a run is further.
    Waits(String),
}

/// A delivery that is worked on.
pub(super) struct Case<'a> {
    pub(super) handler: &'a Handler,
    pub(super) delivery: &'a Delivery,
    pub(super) ask: &'a Ask,
    pub(super) forge: Forge,
}

impl Handler {
    /// Does what a delivery asks for. Answers the run that is started.
    pub(super) async fn act(&self, delivery: &Delivery) -> Result<RunId, Stop> {
        let ask: Ask = serde_json::from_str(&delivery.asked)
            .map_err(|error| Stop::Settled(format!("another version has kept it: {error}")))?;
        let _turn = self.turns.of(&ask).await;
        let key = key_of(delivery, &ask);
        if let Some(run) = self.runs.store().keyed(Some(OWNER), &key).await? {
            return Ok(run);
        }
        self.check_repository(&ask).await?;
        let forge = self.forge(&ask.repo_url).await?;
        let case = Case {
            handler: self,
            delivery,
            ask: &ask,
            forge,
        };
        let done = case.run().await;
        if let (Err(Stop::Refused(why)), Some(thread)) = (&done, ask.cause.thread()) {
            case.tell(thread, why).await;
        }
        done
    }

    /// Whether the configuration lets a repository start runs.
    async fn check_repository(&self, ask: &Ask) -> Result<(), Stop> {
        let mut request = ask.request(String::new());
        let Err(problem) = self.settings().grant.narrow(OWNER, &mut request) else {
            return Ok(());
        };
        let refused = AuditEntry::now(Some(OWNER), Action::RunStarted).on(&ask.repo_url);
        let refused = refused.refused().saying(&problem.message);
        self.access.record(refused).await;
        Err(Stop::Settled(problem.message))
    }
}

impl Case<'_> {
    async fn run(&self) -> Result<RunId, Stop> {
        match &self.ask.cause {
            Cause::Labeled { by, issue } => {
                self.check_right(by).await?;
                if let Some(run) = self.run_for(issue).await?
                    && run.outcome.is_none()
                {
                    let message = format!("run {} is at work on the issue already", run.id);
                    return Err(Stop::Settled(message));
                }
                self.start_for_issue(by, issue, None).await
            }
            Cause::Mentioned { by, thread, words } => {
                self.check_right(by).await?;
                match &thread.pull_request {
                    Some(page) => self.on_pull_request(by, thread, words, page).await,
                    None => self.on_issue(by, thread, words).await,
                }
            }
            Cause::Reviewed {
                by,
                thread,
                words,
                calls,
            } => {
                self.check_right(by).await?;
                let page = thread.pull_request.as_deref().unwrap_or_default();
                match self.handler.deliveries().proposed_by(page).await? {
                    Some(run) => {
                        let message = prompt::message(by, thread, words, true);
                        self.say(&run, message, by, thread).await
                    }
                    None if *calls => self.on_foreign(by, thread, Some(words), true).await,
                    None => Err(Stop::Settled("the pull request is not ours".to_owned())),
                }
            }
            Cause::CheckFailed { commit } => self.repair(commit).await,
        }
    }

    async fn on_issue(
        &self,
        by: &str,
        issue: &Thread,
        words: &Option<Words>,
    ) -> Result<RunId, Stop> {
        let earlier = self.run_for(issue).await?;
        match (earlier.filter(|run| run.retired.is_none()), words) {
            (Some(run), Some(words)) => {
                let message = prompt::message(by, issue, words, false);
                self.say(&run.id, message, by, issue).await
            }
            _ => self.start_for_issue(by, issue, words.as_ref()).await,
        }
    }

    async fn start_for_issue(
        &self,
        by: &str,
        issue: &Thread,
        words: Option<&Words>,
    ) -> Result<RunId, Stop> {
        let prompt = prompt::for_issue(&self.ask.repository, by, issue, words);
        let mut request = self.request(prompt);
        request.origin = Some(RunOrigin {
            asked_by: Some(by.to_owned()),
            thread: issue.number,
            issue: Some(issue.number),
            repair: None,
        });
        self.start(request, by).await
    }

    /// One of our own is gone on with.
    async fn on_pull_request(
        &self,
        by: &str,
        pull: &Thread,
        words: &Option<Words>,
        page: &str,
    ) -> Result<RunId, Stop> {
        if let Some(run) = self.handler.deliveries().proposed_by(page).await? {
            let words = words.clone().unwrap_or_default();
            let message = prompt::message(by, pull, &words, false);
            return self.say(&run, message, by, pull).await;
        }
        self.on_foreign(by, pull, words.as_ref(), false).await
    }

    /// A change to the pull request of somebody else is proposed to its branch: nobody expects commits of ours
    /// between their own. What is said there later is for the run that makes the change.
    async fn on_foreign(
        &self,
        by: &str,
        pull: &Thread,
        words: Option<&Words>,
        is_review: bool,
    ) -> Result<RunId, Stop> {
        let head = self.forge.pull_request_head(pull.number).await?;
        if !head.is_open {
            let message = "I cannot work on this pull request: it is closed. Reopen it, or mention me on an issue.";
            return Err(Stop::Refused(message.to_owned()));
        }
        if !head.is_own {
            let message = "I cannot work on this pull request: its branch is in a fork, to which a change of mine \
                           cannot be proposed from here. Mention me on an issue, or on a pull request from a \
                           branch of this repository.";
            return Err(Stop::Refused(message.to_owned()));
        }
        let earlier = self.run_on(pull).await?;
        if let (Some(run), Some(words)) = (earlier, words) {
            let message = prompt::message(by, pull, words, is_review);
            return self.say(&run.id, message, by, pull).await;
        }
        let prompt = prompt::for_pull_request(&self.ask.repository, by, pull, words);
        let mut request = self.request(prompt);
        request.base_branch = Some(head.branch);
        request.origin = Some(RunOrigin {
            asked_by: Some(by.to_owned()),
            thread: pull.number,
            issue: None,
            repair: None,
        });
        self.start(request, by).await
    }

    /// Whoever may not write to the repository hears nothing.
    async fn check_right(&self, by: &str) -> Result<(), Stop> {
        if self.forge.can_write(by).await? {
            return Ok(());
        }
        let message = format!("@{by} may not write to the repository");
        tracing::warn!(
            delivery = self.delivery.id,
            repository = self.ask.repository,
            "{message}"
        );
        let refused = AuditEntry::now(Some(OWNER), Action::RunStarted).on(&self.ask.repo_url);
        let refused = refused.refused().saying(&message);
        self.handler.access.record(refused).await;
        Err(Stop::Settled(message))
    }

    /// The latest run for an issue.
    async fn run_for(&self, issue: &Thread) -> Result<Option<RunRecord>, Stop> {
        let is_for_it = |origin: &RunOrigin| origin.issue == Some(issue.number);
        self.latest_run(is_for_it).await
    }

    /// The latest run that was made for the pull request of somebody else, and can be gone on with.
    async fn run_on(&self, pull: &Thread) -> Result<Option<RunRecord>, Stop> {
        let is_on_it = |origin: &RunOrigin| origin.thread == pull.number && origin.issue.is_none();
        let run = self.latest_run(is_on_it).await?;
        Ok(run.filter(|run| run.retired.is_none()))
    }

    /// The latest run on the repository that comes from there.
    async fn latest_run(
        &self,
        comes_from_there: impl Fn(&RunOrigin) -> bool,
    ) -> Result<Option<RunRecord>, Stop> {
        let filter = RunFilter {
            owner: Some(OWNER.to_owned()),
            outcome: None,
            repo_urls: Some(vec![self.ask.repo_url.clone()]),
        };
        let runs = self.handler.runs.store();
        let latest = runs.page(&filter, None, MAX_LOOKED_AT).await?;
        let comes_from_there =
            |run: &RunRecord| run.request.origin.as_ref().is_some_and(&comes_from_there);
        Ok(latest.into_iter().find(comes_from_there))
    }

    fn request(&self, prompt: String) -> RunRequest {
        let settings = self.handler.settings();
        let mut request = self
            .ask
            .request(prompt::fit(prompt, settings.max_prompt_chars));
        request.provider = settings.provider.clone();
        request
    }

    async fn start(&self, request: RunRequest, by: &str) -> Result<RunId, Stop> {
        let why = format!("@{by} asked for it");
        self.start_as(request, &self.key(), &why)
            .await
            .map_err(Stop::from)
    }

    /// Starts a run, once for its key.
    pub(super) async fn start_as(
        &self,
        mut request: RunRequest,
        key: &str,
        why: &str,
    ) -> Result<RunId, StartError> {
        let handler = self.handler;
        let settings = handler.settings();
        let narrowed = settings.grant.narrow(OWNER, &mut request);
        narrowed.map_err(StartError::Refused)?;
        let (runs, key) = (&handler.runs, key.to_owned());
        let Started { id, joined } = runs.start(request, Some(key), settings.caller()).await?;
        if !joined {
            let started = AuditEntry::now(Some(OWNER), Action::RunStarted).on(&self.ask.repo_url);
            handler.access.record(started.to(&id.0).saying(why)).await;
        }
        Ok(id)
    }

    /// What makes what is done for the delivery be done once.
    pub(super) fn key(&self) -> String {
        key_of(self.delivery, self.ask)
    }

    /// Answers whoever asked. It does no harm that it fails.
    pub(super) async fn tell(&self, thread: u64, body: &str) {
        let told = self.forge.comment(|repository| ForgeComment {
            repository,
            number: thread,
            marker: marker_of(&self.key()),
            id: None,
            body: body.to_owned(),
            summary: String::new(),
        });
        if let Err(error) = told.await {
            tracing::warn!(delivery = self.delivery.id, %error, "an answer cannot be written");
        }
    }
}

impl Ask {
    /// A run on its repository.
    fn request(&self, prompt: String) -> RunRequest {
        RunRequest::new(&self.repo_url, prompt)
    }
}

impl Cause {
    /// The issue or pull request where it came from.
    pub(super) fn thread(&self) -> Option<u64> {
        match self {
            Self::Labeled { issue: thread, .. }
            | Self::Mentioned { thread, .. }
            | Self::Reviewed { thread, .. } => Some(thread.number),
            Self::CheckFailed { .. } => None,
        }
    }
}

/// One commit is repaired once, however many of its checks fail and however often that is told. Anything else
/// is known by its content, since a delivery's id is not signed.
fn key_of(delivery: &Delivery, ask: &Ask) -> String {
    match &ask.cause {
        Cause::CheckFailed { commit } => format!("github:repair:{commit}"),
        _ => {
            let hex = delivery.digest.iter().map(|byte| format!("{byte:02x}"));
            format!("github:{}", hex.collect::<String>())
        }
    }
}

/// An answer is written once for a key.
fn marker_of(key: &str) -> String {
    format!("pullwright:delivery {}", key.replace(':', "-"))
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<ForgeError> for Stop {
    fn from(error: ForgeError) -> Self {
        match error {
            ForgeError::Repository(_) | ForgeError::None(_) | ForgeError::NoRole { .. } => {
                Self::Settled(error.to_string())
            }
            ForgeError::Later { wait, .. } => Self::NotBefore(wait, error.to_string()),
            ForgeError::Server(_) | ForgeError::Failed { .. } => Self::Later(error.to_string()),
        }
    }
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(problem) if passes(&problem) => Self::Later(problem.message),
            StartError::Refused(problem) => {
                Self::Refused(format!("I cannot do this: {}.", problem.message))
            }
            StartError::FollowedBy(_) | StartError::Store(_) => Self::Later(error.to_string()),
        }
    }
}

/// Whether the same request may succeed later.
fn passes(problem: &ApiProblem) -> bool {
    problem.retry_after_secs.is_some() || problem.status.is_server_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(id: &str, content: u8, cause: Cause) -> String {
        let delivery = Delivery {
            id: id.to_owned(),
            digest: vec![content; 32],
            asked: String::new(),
            run: None,
            attempts: 1,
        };
        let ask = Ask {
            repo_url: "https://github.com/owner/project.git".to_owned(),
            repository: "owner/project".to_owned(),
            cause,
        };
        key_of(&delivery, &ask)
    }

    #[test]
    fn what_is_done_is_known_by_what_was_signed() {
        let labeled = || Cause::Labeled {
            by: "ann".to_owned(),
            issue: Thread {
                number: 5,
                title: String::new(),
                text: String::new(),
                pull_request: None,
            },
        };
        let first = keyed("a", 1, labeled());
        assert_eq!(first, keyed("chosen", 1, labeled()));
        assert_ne!(first, keyed("a", 2, labeled()));
        let failed = || Cause::CheckFailed {
            commit: "c0ffee".to_owned(),
        };
        assert_eq!(keyed("a", 1, failed()), keyed("b", 2, failed()));
        assert_eq!(
            marker_of(&keyed("a", 1, failed())),
            "pullwright:delivery github-repair-c0ffee"
        );
    }
}

//! Tells people of a run that a delivery has started: one comment, kept up to date, and at the end a check.
//!
//! It is told by whichever server has the delivery, and not by the one that has the run: so it is told to the
//! end also where a server dies between the two. What is told comes from the run's events alone.

use std::time::Duration;

use pullwright_core::forge::{Forge, ForgeError};
use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;
use pullwright_protocol::forge::{ForgeCheckRun, ForgeComment};
use tokio::time::Instant;

use super::ask::Ask;
use super::report::{CHECK_PREFIX, Progress};
use super::store::Delivery;
use super::worker::{Handler, PAGE_EVENTS};

/// The least time between two changes of a comment.
const EDIT_INTERVAL: Duration = Duration::from_secs(10);

/// Why it cannot be told at the moment, and how long that lasts at least.
pub(super) struct Untold {
    pub(super) why: String,
    pub(super) wait: Duration,
}

/// A comment in the making.
struct Teller<'a> {
    handler: &'a Handler,
    run: &'a RunId,
    thread: u64,
    forge: Forge,
    progress: Progress,
    /// The number of the last event that is in it.
    seen: u64,
    /// The comment as it was written last, with its id.
    written: Option<(String, Option<u64>)>,
    /// When it may be written again.
    next: Instant,
}

impl Handler {
    /// Tells of a run until it has ended. What fails on the way is tried again with the next change.
    pub(super) async fn tell(&self, delivery: &Delivery, run: &RunId) -> Result<(), Untold> {
        let Ok(ask) = serde_json::from_str::<Ask>(&delivery.asked) else {
            return Ok(());
        };
        let record = self.runs.store().get(run).await?;
        let Some(origin) = record.and_then(|record| record.request.origin) else {
            return Ok(());
        };
        let forge = match self.forge(&ask.repo_url).await {
            Err(ForgeError::Repository(_) | ForgeError::None(_)) => return Ok(()),
            forge => forge?,
        };
        let teller = Teller {
            handler: self,
            run,
            thread: origin.thread,
            forge,
            progress: Progress::default(),
            seen: 0,
            written: None,
            next: Instant::now(),
        };
        teller.tell().await
    }
}

impl Teller<'_> {
    async fn tell(mut self) -> Result<(), Untold> {
        let mut events = self.handler.runs.store().watch(self.run);
        loop {
            events.borrow_and_update();
            self.read().await?;
            let has_ended = self.progress.has_ended();
            if has_ended || Instant::now() >= self.next {
                let mut pause = EDIT_INTERVAL;
                match self.write().await {
                    Ok(true) => {}
                    // Nobody wants it, or the forge has no comments.
                    Ok(false) | Err(ForgeError::NoRole { .. }) => return Ok(()),
                    Err(error) if has_ended => return Err(error.into()),
                    Err(error) => {
                        tracing::warn!(run = %self.run, %error, "a comment cannot be written");
                        if let ForgeError::Later { wait, .. } = error {
                            pause = pause.max(wait);
                        }
                    }
                }
                self.next = Instant::now() + pause;
            }
            if has_ended {
                self.check().await;
                return Ok(());
            }
            tokio::select! {
                changed = events.changed() => if changed.is_err() {
                    tokio::time::sleep_until(self.next).await;
                },
                () = tokio::time::sleep_until(self.next) => {}
            }
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        loop {
            let store = self.handler.runs.store();
            let page = store.read(self.run, self.seen, PAGE_EVENTS).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            self.seen = last.seq;
            page.into_iter()
                .for_each(|logged| self.progress.see(logged.event));
        }
    }

    /// Answers false where somebody has removed the comment.
    async fn write(&mut self) -> Result<bool, ForgeError> {
        let mention = &self.handler.settings().mention;
        let body = self.progress.comment(self.run, mention);
        let (before, id) = match &self.written {
            Some((before, id)) => (Some(before), *id),
            None => (None, None),
        };
        if before == Some(&body) && !self.progress.has_ended() {
            return Ok(true);
        }
        let posted = self.forge.comment(|repository| ForgeComment {
            repository,
            number: self.thread,
            marker: format!("pullwright:run {}", self.run),
            id,
            body: body.clone(),
            summary: self.progress.summary.clone(),
        });
        let id = posted.await?.id;
        self.written = Some((body, id));
        Ok(id.is_some())
    }

    /// A check of our own on the commit that was pushed. A run is no worse without it.
    async fn check(&self) {
        let Some(commit) = &self.progress.commit else {
            return;
        };
        if !self.forge.has_check_runs() {
            return;
        }
        let written = self.forge.check_run(commit, |commit| ForgeCheckRun {
            commit,
            external_id: format!("{CHECK_PREFIX}{}", self.run),
            succeeded: self.progress.passes(),
            title: self.progress.title(),
            summary: match self.progress.evidence() {
                none if none.is_empty() => {
                    "The project has no checks that are known here.".to_owned()
                }
                evidence => evidence,
            },
        });
        if let Err(error) = written.await {
            tracing::warn!(run = %self.run, %error, "a check cannot be written");
        }
    }
}

impl From<StoreError> for Untold {
    fn from(error: StoreError) -> Self {
        Self {
            why: error.to_string(),
            wait: Duration::ZERO,
        }
    }
}

impl From<ForgeError> for Untold {
    fn from(error: ForgeError) -> Self {
        let why = error.to_string();
        match error {
            ForgeError::Later { wait, .. } => Self { why, wait },
            _ => Self {
                why,
                wait: Duration::ZERO,
            },
        }
    }
}

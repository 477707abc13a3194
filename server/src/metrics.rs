//! What this server does, counted for Prometheus.
//!
//! Everything about runs is counted from their events, once the store has them: what is not in a log did
//! not happen, and no other code needs to know that somebody counts.

mod fact;
mod families;
mod observed;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use pullwright_protocol::{Outcome, RunId, Stage};

use fact::{Fact, What};
use families::{Families, Model, seconds};

pub use observed::ObservedStore;

/// The type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counts of this process. Cloning it is cheap.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    registry: Registry,
    families: Families,
    /// The runs whose events are written here and have no end yet.
    active: Mutex<HashMap<RunId, Progress>>,
}

/// Where a run is.
#[derive(Default)]
struct Progress {
    created_at_ms: u64,
    stage: Option<(Stage, u64)>,
    model: Model,
}

impl Progress {
    fn is_queued(&self) -> bool {
        matches!(self.stage, Some((Stage::Queued, _)))
    }
}

/// A client of a stream, counted until this is dropped.
pub struct Follower(Gauge);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pullwright");
        let families = Families::register(&mut registry);
        Self(Arc::new(Shared {
            registry,
            families,
            active: Mutex::default(),
        }))
    }
}

impl Metrics {
    /// All counts in the text format of OpenMetrics.
    ///
    /// # Errors
    /// A label that cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// Counts somebody who follows a stream.
    #[must_use]
    pub fn follower(&self) -> Follower {
        let followers = self.0.families.followers.clone();
        followers.inc();
        Follower(followers)
    }

    fn committed(&self, run: &RunId, facts: Vec<Fact>) {
        let mut active = self.active();
        for fact in facts {
            if let What::Ended(outcome) = fact.what {
                let progress = self.leave(&mut active, run).unwrap_or_default();
                self.ended(&progress, fact.at_ms, outcome);
            } else {
                let progress = active.entry(run.clone()).or_default();
                self.went_on(progress, fact);
            }
        }
        self.show(&active);
    }

    /// Another server has the run now, and counts its end.
    fn lost(&self, run: &RunId) {
        let mut active = self.active();
        self.leave(&mut active, run);
        self.show(&active);
    }

    fn leave(&self, active: &mut HashMap<RunId, Progress>, run: &RunId) -> Option<Progress> {
        let progress = active.remove(run)?;
        if progress.is_queued() {
            self.0.families.queued.dec();
        }
        Some(progress)
    }

    fn show(&self, active: &HashMap<RunId, Progress>) {
        let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
        self.0.families.active.set(count);
    }

    fn went_on(&self, progress: &mut Progress, fact: Fact) {
        let families = &self.0.families;
        match fact.what {
            What::Created => progress.created_at_ms = fact.at_ms,
            What::IsIn(stage) => self.is_in(progress, stage, fact.at_ms),
            What::Asks(provider, model) => progress.model = families.bounded(provider, model),
            What::Replied {
                usage,
                usd,
                time_ms,
            } => families.replied(&progress.model, &usage, usd, time_ms),
            What::Paid { usage, usd } => families.paid(&progress.model, &usage, usd),
            What::Resumed(model) => {
                families.resumed.inc();
                if let Some((provider, model)) = model {
                    progress.model = families.bounded(provider, model);
                }
            }
            What::Parked => drop(families.parked.inc()),
            What::StartedAnew => drop(families.resets.inc()),
            What::WentInCircles => drop(families.circles.inc()),
            What::Answered {
                server,
                is_error,
                time_ms,
            } => families.answered(server, is_error, time_ms),
            What::Restarted { server } => families.restarted(server),
            What::Opened { kind } => families.opened(kind),
            What::Checked { phase, passed } => families.checked(phase, passed),
            What::WentWrong { kind, retrying } => families.went_wrong(kind, retrying),
            What::Ended(_) => {}
        }
    }

    fn is_in(&self, progress: &mut Progress, stage: Stage, at_ms: u64) {
        let since = match progress.stage {
            Some((known, _)) if known == stage => return,
            before => before,
        };
        progress.stage = Some((stage, at_ms));
        if stage == Stage::Queued {
            self.0.families.queued.inc();
        }
        if let Some((before, since_ms)) = since {
            if before == Stage::Queued {
                self.0.families.queued.dec();
            }
            let time = at_ms.saturating_sub(since_ms);
            self.0.families.left(before, time);
        }
    }

    fn ended(&self, progress: &Progress, at_ms: u64, outcome: Outcome) {
        let families = &self.0.families;
        if let Some((last, since_ms)) = progress.stage {
            families.left(last, at_ms.saturating_sub(since_ms));
        }
        // Of a run that began elsewhere only the end is known.
        let known = progress.created_at_ms > 0;
        let time = known.then(|| seconds(at_ms.saturating_sub(progress.created_at_ms)));
        families.ended(outcome, time);
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Progress>> {
        let active = self.0.active.lock();
        active.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.dec();
    }
}

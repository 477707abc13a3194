//! One OpenTelemetry trace for each run, sent over OTLP where a collector is named.
//!
//! Spans are made from a run's events once the store has them, as the counts of [`crate::metrics`] are:
//! what is not in a log is in no trace, and no other code needs to know that somebody looks. Names follow
//! version 0.1.0 of the semantic conventions for generative AI
//! (`open-telemetry/semantic-conventions-genai`).

mod client;
mod content;
mod exporter;
mod ids;
mod incoming;
mod names;
mod run_trace;
mod settings;
mod span;
mod step;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Config, SamplingDecision, ShouldSample, SpanData, SpanProcessor,
};
use pullwright_protocol::{LoggedEvent, RunId};

use ids::Ids;
use run_trace::RunTrace;
use settings::Settings;
use step::{Step, What};

pub use settings::TracesError;

/// The most runs that are traced at the same time: far more than a server takes. It bounds what is kept of
/// runs whose end is never seen here.
const MAX_RUNS: usize = 10_000;

/// The traces of this process; of nothing unless a collector is named. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Shared>>);

struct Shared {
    processor: BatchSpanProcessor,
    sampler: Box<dyn ShouldSample>,
    captures_content: bool,
    /// Whether it was told that there are too many runs.
    told_of_bound: AtomicBool,
    /// The runs whose events are written here and have no end yet; nothing for one that is not sampled.
    active: Mutex<HashMap<RunId, Option<RunTrace>>>,
}

impl Traces {
    /// As the standard variables of OpenTelemetry say (`OTEL_EXPORTER_OTLP_ENDPOINT` and others). Must be
    /// called within a runtime, which sends the spans.
    ///
    /// # Errors
    /// A variable asks for what cannot be done.
    pub fn from_env() -> Result<Self, TracesError> {
        let Some(settings) = Settings::read(|name| std::env::var(name).ok())? else {
            return Ok(Self::default());
        };
        let exporter = exporter::open(settings.timeout)?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&settings::resource());
        Ok(Self(Some(Arc::new(Shared {
            processor,
            sampler: Config::default().sampler,
            captures_content: settings.captures_content,
            told_of_bound: AtomicBool::new(false),
            active: Mutex::default(),
        }))))
    }

    /// The id of a run's trace in hexadecimal digits, where it has one.
    #[must_use]
    pub fn trace_id(&self, run: &RunId) -> Option<String> {
        let shared = self.0.as_ref()?;
        let ids = Ids::of(run);
        shared.samples(&ids).then(|| ids.trace().to_string())
    }

    /// Links a run that is under way here to the span that a request's `traceparent` names. A header that
    /// makes no sense is ignored.
    pub fn link(&self, run: &RunId, headers: &HeaderMap) {
        let Some(shared) = &self.0 else { return };
        let Some(caller) = incoming::caller(headers) else {
            return;
        };
        if let Some(Some(trace)) = shared.active().get_mut(run) {
            trace.link(caller);
        }
    }

    /// Sends what is left, for at most `limit`.
    pub async fn shut_down(&self, limit: Duration) {
        let Some(shared) = self.0.clone() else { return };
        let ending =
            tokio::task::spawn_blocking(move || shared.processor.shutdown_with_timeout(limit));
        if let Ok(Err(error)) = ending.await {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }

    /// What of `events` is traced; nothing where nothing is.
    pub(crate) fn steps(&self, events: &[LoggedEvent]) -> Steps {
        let Some(shared) = &self.0 else {
            return Steps::default();
        };
        let steps = events
            .iter()
            .filter_map(|event| Step::of(event, shared.captures_content));
        Steps(steps.collect())
    }

    /// Takes in what has been committed.
    pub(crate) fn committed(&self, run: &RunId, steps: Steps) {
        if let Some(shared) = &self.0 {
            shared.committed(run, steps.0);
        }
    }

    /// Another owner has the run now. Its trace goes on there; what is open here ends.
    pub(crate) fn lost(&self, run: &RunId) {
        let Some(shared) = &self.0 else { return };
        let trace = shared.active().remove(run).flatten();
        for span in trace.map(RunTrace::hand_on).unwrap_or_default() {
            shared.processor.on_end(span);
        }
    }
}

/// Parts of events, to be taken in once they are committed.
#[derive(Default)]
pub(crate) struct Steps(Vec<Step>);

impl Shared {
    fn committed(&self, run: &RunId, steps: Vec<Step>) {
        let is_over = steps
            .iter()
            .any(|step| matches!(step.what, What::Ended { .. }));
        for span in self.spans(run, steps, is_over) {
            self.processor.on_end(span);
        }
    }

    fn spans(&self, run: &RunId, steps: Vec<Step>, is_over: bool) -> Vec<SpanData> {
        let Some(first) = steps.first() else {
            return Vec::new();
        };
        let mut active = self.active();
        if !active.contains_key(run) {
            if active.len() >= MAX_RUNS {
                self.tell_of_bound(run);
                return Vec::new();
            }
            active.insert(run.clone(), self.begin(run, first.at_ms));
        }
        let mut spans = Vec::new();
        if let Some(Some(trace)) = active.get_mut(run) {
            for step in steps {
                trace.take(step, &mut spans);
            }
        }
        if is_over {
            active.remove(run);
        }
        spans
    }

    fn tell_of_bound(&self, run: &RunId) {
        if !self.told_of_bound.swap(true, Ordering::Relaxed) {
            tracing::warn!(%run, "too many runs are traced already, so this and others are not");
        }
    }

    fn begin(&self, run: &RunId, at_ms: u64) -> Option<RunTrace> {
        let ids = Ids::of(run);
        self.samples(&ids).then(|| RunTrace::new(run, ids, at_ms))
    }

    /// A trace is sampled as a whole, by its id, so that every server that has a part of it decides alike.
    fn samples(&self, ids: &Ids) -> bool {
        let sampled = self.sampler.should_sample(
            None,
            ids.trace(),
            names::ROOT,
            &SpanKind::Internal,
            &[],
            &[],
        );
        sampled.decision == SamplingDecision::RecordAndSample
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Option<RunTrace>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests;

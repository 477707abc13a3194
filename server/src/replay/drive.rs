//! Runs a run from its beginning to its end.

use std::sync::Arc;

use anyhow::bail;
use pullwright_core::run::RunParts;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, RunId, RunRequest};
use tokio_util::sync::CancellationToken;

use super::model::RecordedModels;
use crate::compose::Executor;
use crate::problem::ApiProblem;
use crate::runs::{Caller, RequestLimits, Runs, RunsConfig};

/// How many events are read at once.
const PAGE_EVENTS: usize = 512;

/// Runs a run to its end, and answers its id and its events. One that asks for more than is recorded is ended
/// there.
pub(super) async fn drive(
    parts: RunParts,
    request: RunRequest,
    models: &RecordedModels,
    stop: &CancellationToken,
) -> anyhow::Result<(RunId, Vec<Event>)> {
    let store = Arc::clone(&parts.store);
    let run = run_to_end(parts, request, models, stop).await?;
    let events = events_of(store.as_ref(), &run).await?;
    check_that_it_began(&events)?;
    Ok((run, events))
}

async fn run_to_end(
    parts: RunParts,
    request: RunRequest,
    models: &RecordedModels,
    stop: &CancellationToken,
) -> anyhow::Result<RunId> {
    let store = Arc::clone(&parts.store);
    let executor = Executor::new(parts);
    let accepted = |_: &RunRequest| Ok::<(), ApiProblem>(());
    let config = RunsConfig {
        request: RequestLimits {
            max_prompt_chars: usize::MAX,
            ..RequestLimits::default()
        },
        ..RunsConfig::default()
    };
    let runs = Runs::new(store, executor, Arc::new(accepted), config);
    let run = runs.start(request, None, Caller::default()).await?.id;
    let Some(mut departing) = runs.departing(&run) else {
        return Ok(run);
    };
    tokio::select! {
        _ = departing.departed() => return Ok(run),
        () = models.exhausted().cancelled() => {}
        () = stop.cancelled() => {}
    }
    runs.cancel(&run).await?;
    departing.departed().await;
    if stop.is_cancelled() {
        bail!("it was interrupted");
    }
    Ok(run)
}

async fn events_of(store: &dyn RunStore, run: &RunId) -> anyhow::Result<Vec<Event>> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read(run, after, PAGE_EVENTS).await?;
        let Some(last) = page.last() else {
            return Ok(events);
        };
        after = last.seq;
        events.extend(page.into_iter().map(|logged| logged.event));
    }
}

/// What keeps a run from asking its model at all says nothing of what is recorded.
fn check_that_it_began(events: &[Event]) -> anyhow::Result<()> {
    let began = |event: &Event| matches!(event, Event::ConversationStarted { .. });
    if events.iter().any(began) {
        return Ok(());
    }
    match events.last() {
        Some(Event::Done { summary, .. }) => bail!("{summary}"),
        _ => bail!("it ended before a model was asked anything"),
    }
}

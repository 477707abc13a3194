//! A run's frames, from its log.

use anyhow::Context;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, Frame, FrameOptions, Outcome, RunId};

use super::PAGE_EVENTS;
use crate::cli::say;
use crate::cli::view::View;

/// One frame of a run.
pub(in crate::cli) struct Shown<'f>(pub(in crate::cli) &'f Frame);

impl Shown<'_> {
    /// Prints it, for people or as JSON.
    pub(in crate::cli) fn print(&self, view: &mut View, json: bool) -> anyhow::Result<()> {
        let text = match json {
            true => serde_json::to_string(self.0)?,
            false => view.render(self.0),
        };
        if !text.is_empty() {
            say(&text);
        }
        Ok(())
    }
}

/// Shows a run's frames up to event `until`, or else until its end, whose outcome it answers.
pub(in crate::cli) async fn follow(
    store: &dyn RunStore,
    run: &RunId,
    options: FrameOptions,
    until: Option<u64>,
    mut show: impl FnMut(Shown<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Outcome>> {
    let mut committed = store.watch(run);
    let mut after = 0;
    while until.is_none_or(|until| after < until) {
        let events = store.read(run, after, PAGE_EVENTS).await?;
        for logged in &events {
            after = logged.seq;
            if let Some(frame) = Frame::of(run, &logged.event, options) {
                show(Shown(&frame))?;
            }
            if let Event::Done { outcome, .. } = logged.event {
                return Ok(Some(outcome));
            }
        }
        if events.is_empty() {
            let more = committed.wait_for(|seq| *seq > after);
            // Another process may write it, whose hints do not come here.
            let more = tokio::time::timeout(super::LOOK_AGAIN, more).await;
            if let Ok(more) = more {
                more.context("the run's log broke off")?;
            }
        }
    }
    Ok(None)
}

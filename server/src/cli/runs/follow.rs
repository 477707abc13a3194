//! A run's frames, from its log.

use std::time::Duration;

use anyhow::Context;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, Frame, FrameOptions, Outcome, RunId};

use super::place::PAGE_EVENTS;
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

/// How soon is looked for events that another process wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Shows a run's frames until its end, whose outcome it answers.
pub(in crate::cli) async fn follow(
    store: &dyn RunStore,
    run: &RunId,
    options: FrameOptions,
    mut show: impl FnMut(Shown<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut committed = store.watch(run);
    let mut after = 0;
    loop {
        let events = store.read(run, after, PAGE_EVENTS).await?;
        for logged in &events {
            after = logged.seq;
            if let Some(frame) = Frame::of(run, &logged.event, options) {
                show(Shown(&frame))?;
            }
            if let Event::Done { outcome, .. } = logged.event {
                return Ok(outcome);
            }
        }
        if events.is_empty() {
            let more = committed.wait_for(|seq| *seq > after);
            // Another process may write it, whose hints do not come here.
            let more = tokio::time::timeout(LOOK_AGAIN, more).await;
            if let Ok(more) = more {
                more.context("the run's log broke off")?;
            }
        }
    }
}

//! What a run has spent.

use std::time::Duration;

use pullwright_protocol::{Event, LoggedEvent, RunUsage, Stage};

/// What a run has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::run) struct Spent {
    /// Model calls.
    pub(in crate::run) turns: u32,
    /// Tokens and money.
    pub(in crate::run) usage: RunUsage,
    /// How long its owners worked on it. The time without one, and that in the queue, does not count.
    pub(in crate::run) time: Duration,
    /// Whether the model was just writing a reply, which costs money too and is not in the rest.
    pub(in crate::run) is_replying: bool,
    last_at_ms: Option<u64>,
    /// Whether nobody was at work after the last event.
    is_waiting: bool,
}

impl Spent {
    pub(super) fn take(&mut self, logged: &LoggedEvent) {
        self.take_time(logged);
        self.usage.note(&logged.event);
        match &logged.event {
            Event::ModelReplied { .. } | Event::ReplyLost { .. } => {
                self.turns += 1;
                self.is_replying = false;
            }
            Event::ReasoningDelta { .. } | Event::MessageDelta { .. } => self.is_replying = true,
            _ => {}
        }
    }

    fn take_time(&mut self, logged: &LoggedEvent) {
        let since = match (self.last_at_ms, &logged.event) {
            (None, _) | (_, Event::Resumed { .. }) => 0,
            _ if self.is_waiting => 0,
            // Another owner's clock may be behind.
            (Some(last), _) => logged.at_ms.saturating_sub(last),
        };
        self.time += Duration::from_millis(since);
        self.last_at_ms = Some(logged.at_ms);
        let stage = match &logged.event {
            Event::RunCreated { .. } => Some(Stage::Queued),
            Event::Status { stage, .. } => Some(*stage),
            _ => None,
        };
        self.is_waiting = stage == Some(Stage::Queued);
    }
}

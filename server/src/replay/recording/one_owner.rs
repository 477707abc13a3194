//! The log of a run that went on with other owners, as one owner would have written it.
//!
//! What an owner had not finished is not in it, and what another one did again is there once. What an owner
//! told the model about its sandbox stands as a message that was heard: so a replay says it at that place.

use std::collections::HashSet;

use pullwright_protocol::{CheckPhase, Event, Item};

use super::{RecordingError, text_of};

/// A log of one owner.
pub(super) struct OneOwner {
    pub(super) events: Vec<Event>,
    /// Why real tools cannot play it again, if they cannot.
    pub(super) only_recorded: Option<RecordingError>,
}

/// The log `events` as one owner would have written it.
pub(super) fn of_one_owner(events: Vec<Event>) -> Result<OneOwner, RecordingError> {
    let mut joining = Joining::default();
    for (number, event) in without_booked_replies(events) {
        joining.take(number, event)?;
    }
    Ok(OneOwner {
        events: joining.events,
        only_recorded: joining.only_recorded,
    })
}

/// The events and their numbers, but for what a new owner books for a reply that nobody heard to its end: one
/// owner asks once. A reply that broke off by itself is told as an error, too.
fn without_booked_replies(events: Vec<Event>) -> Vec<(usize, Event)> {
    let is_booked = |pair: &[Event]| matches!(pair, [Event::ReplyLost { .. }, next] if !matches!(next, Event::Error { .. }));
    let booked: Vec<bool> = events.windows(2).map(is_booked).collect();
    let numbered = (1..).zip(events).zip(booked.into_iter().chain([false]));
    numbered
        .filter_map(|(event, is_booked)| (!is_booked).then_some(event))
        .collect()
}

#[derive(Default)]
struct Joining {
    events: Vec<Event>,
    /// How many of them are of earlier owners.
    earlier: usize,
    has_begun: bool,
    /// What a new owner has done before its model goes on.
    taking_up: Option<TakingUp>,
    only_recorded: Option<RecordingError>,
}

#[derive(Default)]
struct TakingUp {
    /// The calls that it runs again.
    started: HashSet<String>,
    /// What it told the model last, and its place among the events.
    told: Option<(usize, Item)>,
}

impl Joining {
    fn take(&mut self, number: usize, event: Event) -> Result<(), RecordingError> {
        if is_of_the_model_s_turn(&event) {
            self.taking_up = None;
        }
        match &event {
            Event::Resumed { .. } => {
                self.resume();
                return Ok(());
            }
            Event::Parked { .. } => return Ok(()),
            Event::ConversationStarted { .. } => self.has_begun = true,
            Event::SandboxLost => self.only_with_recorded(RecordingError::SandboxLost(number)),
            Event::ToolStarted { call_id, .. } => {
                let started = self.taking_up.as_mut().map(|taking| &mut taking.started);
                started.map(|started| started.insert(call_id.clone()));
            }
            Event::ToolAnswered {
                call_id,
                server,
                tool,
                ..
            } => self.note_interrupted(number, call_id, server, tool),
            Event::ItemAppended { item } if !item.is_from_model() && self.taking_up.is_some() => {
                return self.tell(number, item.clone());
            }
            Event::Checked { report } if report.phase == CheckPhase::After => {
                self.forget_earlier_checks();
            }
            Event::PatchStored {
                during_work: false, ..
            } => self.forget_earlier_work(),
            _ => {}
        }
        self.events.push(event);
        Ok(())
    }

    fn resume(&mut self) {
        match self.has_begun {
            true => self.drop_unfinished(),
            // All of it is prepared anew.
            false => self.events.truncate(1),
        }
        self.earlier = self.events.len();
        self.taking_up = self.has_begun.then(TakingUp::default);
    }

    /// A conversation that was being shortened is taken as it was before, and a reply is asked for again.
    fn drop_unfinished(&mut self) {
        let mark =
            |event: &Event| matches!(event, Event::CompactionStarted | Event::CompactionEnded);
        if let Some(at) = self.events.iter().rposition(mark)
            && matches!(self.events[at], Event::CompactionStarted)
        {
            self.events.truncate(at);
        }
        let settled = self.events.iter().rposition(is_settled);
        let mut tail = self.events.split_off(settled.map_or(0, |at| at + 1));
        tail.retain(|event| !is_of_an_attempt(event));
        self.events.append(&mut tail);
    }

    /// A call that is answered without having run was interrupted with its owner.
    fn note_interrupted(&mut self, number: usize, call_id: &str, server: &str, tool: &str) {
        let ran = |taking: &TakingUp| taking.started.contains(call_id);
        let is_interrupted = self.taking_up.as_ref().is_some_and(|taking| !ran(taking));
        if is_interrupted && !server.is_empty() {
            let tool = tool.to_owned();
            self.only_with_recorded(RecordingError::Interrupted { at: number, tool });
        }
    }

    fn only_with_recorded(&mut self, why: RecordingError) {
        self.only_recorded.get_or_insert(why);
    }

    /// The last of what a new owner tells the model is about its sandbox. One owner alone would not say it.
    fn tell(&mut self, number: usize, item: Item) -> Result<(), RecordingError> {
        let before = self
            .taking_up
            .as_mut()
            .and_then(|taking| taking.told.take());
        if let Some((at, item)) = before {
            self.events[at] = Event::ItemAppended { item };
        }
        let settled = self.events.iter().rfind(|event| is_settled(event));
        if matches!(settled, Some(Event::ConversationReset { .. })) {
            return Err(RecordingError::ResumedAnew(number));
        }
        self.forget_earlier_work();
        let Some(text) = text_of(&item).map(str::to_owned) else {
            self.events.push(Event::ItemAppended { item });
            return Ok(());
        };
        if let Some(taking) = &mut self.taking_up {
            taking.told = Some((self.events.len(), item));
        }
        self.events.push(Event::MessageHeard { number: 0, text });
        Ok(())
    }

    /// The checks of work that was taken in run again from the first one.
    fn forget_earlier_checks(&mut self) {
        let taken_in = self.events.iter().rposition(is_taken_in).unwrap_or(0);
        self.forget(taken_in, is_check_of_the_change);
    }

    /// What the model had ended with was not found whole: it is taken in, or made, again.
    fn forget_earlier_work(&mut self) {
        let Some(at) = self.events.iter().rposition(is_taken_in) else {
            return;
        };
        let goes_on = |event: &Event| {
            matches!(
                event,
                Event::ItemAppended { .. } | Event::MessageHeard { .. }
            )
        };
        if !self.events[at..].iter().any(goes_on) {
            self.forget(at, |event| {
                is_taken_in(event) || is_check_of_the_change(event)
            });
        }
    }

    /// Drops such events from `from` on, of those that earlier owners wrote.
    fn forget(&mut self, from: usize, is_forgotten: impl Fn(&Event) -> bool) {
        let Some(end) = self.earlier.checked_sub(from) else {
            return;
        };
        let mut late = self.events.split_off(from);
        let own = late.split_off(end);
        late.retain(|event| !is_forgotten(event));
        self.events.append(&mut late);
        self.earlier = self.events.len();
        self.events.extend(own);
    }
}

/// Whether a new owner is done with taking up, since its model goes on, or its work does.
fn is_of_the_model_s_turn(event: &Event) -> bool {
    matches!(
        event,
        Event::ModelReplied { .. }
            | Event::MessageDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::Error { .. }
            | Event::MessageHeard { .. }
            | Event::CompactionStarted
            | Event::ConversationReset { .. }
            | Event::ProviderChanged { .. }
            | Event::Checked { .. }
            | Event::RepairAsked
            | Event::PatchStored {
                during_work: false,
                ..
            }
    )
}

/// Whether the conversation has come further, so that another owner goes on after it.
fn is_settled(event: &Event) -> bool {
    matches!(
        event,
        Event::ConversationStarted { .. }
            | Event::ItemAppended { .. }
            | Event::MessageHeard { .. }
            | Event::ModelReplied { .. }
            | Event::ToolAnswered { .. }
            | Event::ConversationReset { .. }
            | Event::ProviderChanged { .. }
    )
}

fn is_of_an_attempt(event: &Event) -> bool {
    matches!(
        event,
        Event::MessageDelta { .. }
            | Event::ReasoningDelta { .. }
            | Event::ReplyLost { .. }
            | Event::Error { .. }
    )
}

fn is_taken_in(event: &Event) -> bool {
    matches!(
        event,
        Event::PatchStored {
            during_work: false,
            ..
        }
    )
}

fn is_check_of_the_change(event: &Event) -> bool {
    matches!(event, Event::Checked { report } if report.phase == CheckPhase::After)
}

#[cfg(test)]
mod tests;

//! What the models of a recorded run were asked, and what they answered.

use pullwright_core::agent::heard_item;
use pullwright_protocol::provider::{Delta, ProviderError, TokenUsage};
use pullwright_protocol::{Content, Event, Item, Outcome, ResetReason};

use super::Talk;

/// One answer of a model, and what it had been told by then.
#[derive(Clone, Debug)]
pub(in crate::replay) struct Answer {
    /// Which of the conversations it belongs to.
    pub(in crate::replay) talk: usize,
    /// How many of the conversation's items it had been told.
    pub(in crate::replay) told: usize,
    /// The answer, from its first piece to its last.
    pub(in crate::replay) deltas: Vec<Delta>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::replay) struct Progress {
    /// How often a model has answered.
    pub(in crate::replay) answers: usize,
    /// How often the work that a model ended with was taken in.
    pub(in crate::replay) works: usize,
}

/// Something that was said to the model.
#[derive(Clone, Debug)]
pub(in crate::replay) struct Heard {
    /// What was said.
    pub(in crate::replay) text: String,
    /// How far the run had come when the model heard it.
    pub(in crate::replay) after: Progress,
}

/// What was said in a run, by everybody.
#[derive(Default)]
pub(super) struct Conversations {
    pub(super) talks: Vec<Talk>,
    pub(super) answers: Vec<Answer>,
    pub(super) heard: Vec<Heard>,
}

pub(super) fn read(events: &[Event], outcome: Outcome) -> Conversations {
    let mut reading = Reading::default();
    let last_words = last_words(events, outcome);
    for (at, event) in events.iter().enumerate() {
        if Some(at) != last_words {
            reading.take(event, &events[at + 1..]);
        }
    }
    reading.said
}

/// A run that failed says why once more at its end, which is no answer of a model.
fn last_words(events: &[Event], outcome: Outcome) -> Option<usize> {
    let is_error = |event: &Event| matches!(event, Event::Error { .. });
    match outcome {
        Outcome::Failed(_) => events.iter().rposition(is_error),
        _ => None,
    }
}

#[derive(Default)]
struct Reading {
    said: Conversations,
    /// How often work was taken in.
    works: usize,
    /// The pieces of text since the last answer.
    pieces: Vec<Delta>,
}

impl Reading {
    fn take(&mut self, event: &Event, rest: &[Event]) {
        match event {
            Event::ConversationStarted { system, tools, .. } => self.said.talks.push(Talk {
                system: system.clone(),
                tools: tools.clone(),
                items: Vec::new(),
            }),
            Event::ConversationReset { items, .. } => {
                let items = items.clone();
                let before = self.said.talks.last().cloned().unwrap_or_default();
                self.said.talks.push(Talk { items, ..before });
            }
            Event::ItemAppended { item } => self.told(item.clone()),
            Event::ToolAnswered {
                call_id,
                parts,
                is_error,
                ..
            } => self.told(Item::neutral(Content::ToolResult {
                call_id: call_id.clone(),
                parts: parts.clone(),
                is_error: *is_error,
            })),
            Event::MessageHeard { text, .. } => {
                let after = Progress {
                    answers: self.said.answers.len(),
                    works: self.works,
                };
                let text = text.clone();
                self.told(heard_item(&text));
                self.said.heard.push(Heard { text, after });
            }
            Event::PatchStored {
                during_work: false, ..
            } => self.works += 1,
            Event::MessageDelta { delta } => self.pieces.push(Delta::Text {
                delta: delta.clone(),
            }),
            Event::ReasoningDelta { delta } => self.pieces.push(Delta::Reasoning {
                delta: delta.clone(),
            }),
            // What an answer cost that broke off, which its end follows.
            Event::ReplyLost { usage, .. } if *usage != TokenUsage::default() => {
                self.pieces.push(Delta::Usage { usage: *usage });
            }
            event => self.take_end(event, rest),
        }
    }

    fn told(&mut self, item: Item) {
        if let Some(talk) = self.said.talks.last_mut() {
            talk.items.push(item);
        }
    }

    fn take_end(&mut self, event: &Event, rest: &[Event]) {
        let (items, ends) = match event {
            Event::ModelReplied { stop, usage, .. } => {
                let (usage, stop) = (*usage, *stop);
                let raw = "recorded".to_owned();
                let ends = vec![Delta::Usage { usage }, Delta::End { stop, raw }];
                (items_of(rest), ends)
            }
            Event::Error {
                kind,
                message,
                retrying,
                ..
            } => {
                let error = ProviderError {
                    kind: *kind,
                    message: message.clone(),
                    retryable: *retrying,
                    retry_after_ms: Some(0),
                };
                (Vec::new(), vec![Delta::Error { error }])
            }
            _ => return,
        };
        let Some(talk) = self.said.talks.last() else {
            return;
        };
        let mut deltas = std::mem::take(&mut self.pieces);
        deltas.extend(items.into_iter().map(|item| Delta::Item { item }));
        deltas.extend(ends);
        self.said.answers.push(Answer {
            talk: self.said.talks.len() - 1,
            told: talk.items.len(),
            deltas,
        });
    }
}

/// The items of the reply that `rest` follows. Those of a shorter conversation are in the log only as what
/// the conversation went on with, before what the framework adds.
fn items_of(rest: &[Event]) -> Vec<Item> {
    if let Some(Event::ConversationReset {
        reason: ResetReason::TooLong,
        items,
        ..
    }) = rest.first()
    {
        let kept = items.len().saturating_sub(1);
        return items[..kept].to_vec();
    }
    let own = rest.iter().map_while(|event| match event {
        Event::ItemAppended { item } if item.is_from_model() => Some(item.clone()),
        _ => None,
    });
    own.collect()
}

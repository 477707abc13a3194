//! What the models of a recorded run were asked, and what they answered.

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

pub(super) fn read(events: &[Event], outcome: Outcome) -> (Vec<Talk>, Vec<Answer>) {
    let mut reading = Reading::default();
    let last_words = last_words(events, outcome);
    for (at, event) in events.iter().enumerate() {
        if Some(at) != last_words {
            reading.take(event, &events[at + 1..]);
        }
    }
    (reading.talks, reading.answers)
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
    talks: Vec<Talk>,
    answers: Vec<Answer>,
    /// The pieces of text since the last answer.
    pieces: Vec<Delta>,
}

impl Reading {
    fn take(&mut self, event: &Event, rest: &[Event]) {
        match event {
            Event::ConversationStarted { system, tools, .. } => self.talks.push(Talk {
                system: system.clone(),
                tools: tools.clone(),
                items: Vec::new(),
            }),
            Event::ConversationReset { items, .. } => {
                let items = items.clone();
                let before = self.talks.last().cloned().unwrap_or_default();
                self.talks.push(Talk { items, ..before });
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
        if let Some(talk) = self.talks.last_mut() {
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
        let Some(talk) = self.talks.last() else {
            return;
        };
        let mut deltas = std::mem::take(&mut self.pieces);
        deltas.extend(items.into_iter().map(|item| Delta::Item { item }));
        deltas.extend(ends);
        self.answers.push(Answer {
            talk: self.talks.len() - 1,
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

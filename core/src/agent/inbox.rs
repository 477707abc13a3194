//! What people say to the model while it works.

use std::collections::BTreeSet;
use std::sync::Arc;

use pullwright_protocol::{Event, Item, RunId};

use super::Agent;
use crate::store::{Message, RunStore};

/// Introduces a message to the model.
const FROM_THE_USER: &str = "\
The person who asked for this work says, while you are at it. Take it into account from here on:";

/// Introduces a message about a change that was made before.
pub(crate) const SAYS_NOW: &str = "The person who asked for this work says now:";

/// The messages that are left for a run.
pub struct Inbox {
    store: Arc<dyn RunStore>,
    run: RunId,
    heard: BTreeSet<u64>,
}

impl Inbox {
    /// Those for `run`, of which these numbers were heard before.
    pub fn new(store: Arc<dyn RunStore>, run: RunId, heard: BTreeSet<u64>) -> Self {
        Self { store, run, heard }
    }

    /// What is new. A store that does not answer is asked again after the next turn.
    pub async fn news(&self) -> Vec<Message> {
        match self.store.messages(&self.run).await {
            Ok(mut messages) => {
                messages.retain(|message| !self.heard.contains(&message.number));
                messages
            }
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "messages for the model cannot be read");
                Vec::new()
            }
        }
    }
}

impl Agent<'_> {
    /// Lets the model hear what is new, and answers whether anything was.
    pub(super) async fn hear(&mut self) -> bool {
        let news = self.inbox.news().await;
        let is_any = !news.is_empty();
        for Message { number, text } in news {
            self.inbox.heard.insert(number);
            self.conversation.push(&heard_item(&text));
            self.log.emit(Event::MessageHeard { number, text }).await;
        }
        is_any
    }
}

/// The conversation item of an [`Event::MessageHeard`].
#[must_use]
pub fn heard_item(text: &str) -> Item {
    Item::user(format!("{FROM_THE_USER}\n\n{text}"))
}

//! The last reply of a conversation that another owner of the run goes on with.

use std::sync::Arc;

use pullwright_protocol::provider::StopReason;
use pullwright_protocol::{Content, Item, Part, ToolCall};

use super::{Agent, Halt, Reply};

/// Answers a call that was under way when its run ended.
const ENDED: &str = "\
This call was interrupted: the run ended while it was under way. It may have run as a whole, in part, or \
not at all.";

/// The last reply, and how much of it was acted upon.
#[derive(Clone, Debug)]
pub struct LastReply {
    reply: Reply,
    answered: usize,
}

impl LastReply {
    /// A reply that stopped for this reason, without items yet.
    pub(crate) fn new(stop: StopReason) -> Self {
        let items = Vec::new();
        Self {
            reply: Reply { items, stop },
            answered: 0,
        }
    }

    /// Adds an item of the model.
    pub(crate) fn push(&mut self, item: Item) {
        self.reply.items.push(item);
    }

    /// Notes that one more of its calls is answered.
    pub(crate) fn answered(&mut self) {
        self.answered += 1;
    }

    /// The model's last words, if it has nothing more to do.
    #[must_use]
    pub fn last_words(&self) -> Option<String> {
        let is_last = self.reply.calls().is_empty() && self.reply.complaint().is_none();
        is_last.then(|| self.reply.words())
    }

    /// Answers to those of its calls that nobody acts upon any more, since its run has ended.
    pub(crate) fn interrupted(&self) -> Vec<Item> {
        let open = self.reply.calls().into_iter().skip(self.answered);
        let answer = |call: Arc<ToolCall>| {
            Item::neutral(Content::ToolResult {
                call_id: call.call_id.clone(),
                parts: vec![Part::text(ENDED)],
                is_error: true,
            })
        };
        open.map(answer).collect()
    }
}

impl Agent<'_> {
    /// Acts upon what is left of a reply to an earlier owner of the run: calls that only read run again, of
    /// the others the model is told that they were interrupted.
    ///
    /// # Errors
    /// When the run cannot go on.
    pub async fn take_up(&mut self, last: &LastReply) -> Result<(), Halt> {
        let calls = last.reply.calls();
        if calls.is_empty() {
            if let Some(complaint) = last.reply.complaint() {
                self.say(complaint).await;
            }
            return Ok(());
        }
        let rest = calls.into_iter().skip(last.answered).collect();
        self.answer_interrupted(rest, last.reply.stop).await
    }
}

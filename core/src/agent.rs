//! The loop: ask, record, stop if no calls, answer each call.

mod answer;
mod ask;
mod circles;
mod coalesce;
mod compact;
mod inbox;
mod last_reply;
mod later;
mod reasoning;

use std::sync::Arc;

use pullwright_protocol::provider::StopReason;
use pullwright_protocol::{Event, FailureKind, Item, ToolCall};
use rmcp::model::RequestMetaObject;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use circles::{Circle, Circles, Turn};

pub(crate) use answer::result_item;
pub(crate) use inbox::SAYS_NOW;
pub use inbox::{Inbox, heard_item};
pub use last_reply::LastReply;
pub use later::Later;

use crate::budget::{Budget, BudgetReached};
use crate::conversation::Conversation;
use crate::log::{EventLog, LogBroken};
use crate::provider::Provider;
use crate::tools::ToolBox;

/// How often in a row a reply that cannot be used is sent back with what was wrong.
const MAX_USELESS_REPLIES: u32 = 3;

/// A model at work on one conversation.
pub struct Agent<'a> {
    /// The model.
    pub provider: &'a Provider,
    /// What it may call.
    pub tools: &'a ToolBox,
    /// What is attached to every tool call, such as the run's repository.
    pub call_meta: RequestMetaObject,
    /// Where everything is said.
    pub log: &'a EventLog,
    /// What may still be spent.
    pub budget: &'a mut Budget,
    /// What was said so far.
    pub conversation: &'a mut Conversation,
    /// Fires when the run must end.
    pub cancel: &'a CancellationToken,
    /// Fires when it is to stop before the model's next turn.
    pub hand_over: &'a CancellationToken,
    /// What people say to the model.
    pub inbox: &'a mut Inbox,
    /// Told after each turn in which the workspace may have changed.
    pub changed: &'a Notify,
}

/// Why a run stops before its time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Something broke.
    #[error("{1}")]
    Failed(FailureKind, String),
    /// Somebody cancelled the run.
    #[error("the run was cancelled")]
    Cancelled,
    /// A budget was used up.
    #[error("{0}")]
    Budget(BudgetReached),
    /// The code host asks to come back later, or is out of order.
    #[error("{}", .0.reason)]
    Later(Later),
    /// Another owner goes on with the run.
    #[error("another owner goes on with the run")]
    HandedOver,
}

/// One reply of the model, complete.
#[derive(Clone, Debug)]
struct Reply {
    items: Vec<Item>,
    stop: StopReason,
}

impl Agent<'_> {
    /// Works until the model has nothing more to do, and answers its last words.
    ///
    /// # Errors
    /// When the run cannot go on.
    pub async fn work(&mut self) -> Result<String, Halt> {
        let (mut useless, mut circles) = (0, Circles::default());
        loop {
            if self.hand_over.is_cancelled() {
                return Err(Halt::HandedOver);
            }
            self.hear().await;
            let reply = self.ask().await?;
            let calls = reply.calls();
            let is_of_use = match reply.complaint() {
                _ if !calls.is_empty() => {
                    let (is_of_use, turn) = self.answer(calls, reply.stop).await?;
                    self.watch(&mut circles, &turn).await?;
                    is_of_use
                }
                None if self.hear().await => true,
                None => return Ok(reply.words()),
                Some(complaint) => {
                    self.say(complaint).await;
                    false
                }
            };
            useless = if is_of_use { 0 } else { useless + 1 };
            if useless > MAX_USELESS_REPLIES {
                return Err(Halt::Failed(
                    FailureKind::MalformedReply,
                    format!("{useless} replies in a row could not be used"),
                ));
            }
        }
    }

    /// Tells a model that goes in circles, and ends the run of one that was told.
    async fn watch(&mut self, circles: &mut Circles, turn: &Turn) -> Result<(), Halt> {
        let (what, ends) = match circles.take(turn) {
            None => return Ok(()),
            Some(Circle::Tell(what)) => (what, false),
            Some(Circle::End(what)) => (what, true),
        };
        let found = Event::CircleFound {
            what: what.clone(),
            ends,
        };
        self.log.emit(found).await;
        if ends {
            let message = format!("the model went in circles, also after it was told: {what}");
            return Err(Halt::Failed(FailureKind::Stuck, message));
        }
        self.say(format!(
            "You are going in circles: {what}. Find out why it ends like this, or try another way. If \
             nothing can be done, stop and say in a sentence what is in the way."
        ))
        .await;
        Ok(())
    }

    /// Appends a user item.
    pub async fn say(&mut self, text: impl Into<String>) {
        let item = Item::user(text);
        self.conversation.push(&item);
        self.log.emit(Event::ItemAppended { item }).await;
    }
}

impl Reply {
    fn calls(&self) -> Vec<Arc<ToolCall>> {
        let call = |item: &Item| match &item.content {
            pullwright_protocol::Content::ToolCall(call) => Some(Arc::new(call.clone())),
            _ => None,
        };
        self.items.iter().filter_map(call).collect()
    }

    fn words(&self) -> String {
        let text = |item: &Item| match &item.content {
            pullwright_protocol::Content::Text { text } => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<String> = self.items.iter().filter_map(text).collect();
        texts.join("\n\n")
    }

    /// What to tell the model when its reply, without calls, is no way to go on and no end either.
    fn complaint(&self) -> Option<&'static str> {
        match self.stop {
            StopReason::MaxTokens => Some(
                "Your reply was cut off because it reached the token limit. Go on in smaller \
                 steps: write long files in several edits.",
            ),
            StopReason::Pause => Some("Go on."),
            _ if self.words().trim().is_empty() => Some(
                "Your reply was empty. Call a tool to go on, or say in a sentence what you \
                 changed if the work is done.",
            ),
            _ => None,
        }
    }
}

impl From<LogBroken> for Halt {
    fn from(error: LogBroken) -> Self {
        Self::Failed(FailureKind::Internal, error.to_string())
    }
}

impl From<BudgetReached> for Halt {
    fn from(reached: BudgetReached) -> Self {
        Self::Budget(reached)
    }
}

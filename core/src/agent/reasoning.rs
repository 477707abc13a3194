//! Reasoning that a provider does not take back.
//!
//! Providers bind reasoning to everything before it, some also to the account. Where something on the way
//! changed that, the same request is refused for ever. So the conversation starts anew: with everything
//! that was said and done, without the reasoning.

use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{FailureKind, ResetReason};

use super::ask::{Asked, error_event};
use super::{Agent, Halt, Reply};

/// How often one conversation starts anew for this: each time it is in the log as a whole. Then a summary
/// takes its place.
const MAX_RESETS: u32 = 3;

impl Agent<'_> {
    /// What the model answers, or the error that says that the conversation cannot go on as it is.
    pub(super) async fn ask_without_rejected_reasoning(
        &mut self,
    ) -> Result<Result<Reply, ProviderError>, Halt> {
        let error = match self.ask_until_answered(Asked::Reply).await? {
            Err(error) if error.kind == FailureKind::ReasoningRejected => error,
            answered => return Ok(answered),
        };
        if !self.forget_reasoning(&error).await {
            return Ok(Err(error));
        }
        self.ask_until_answered(Asked::Reply).await
    }

    /// Starts the conversation anew without its reasoning, if that makes a difference.
    async fn forget_reasoning(&mut self, error: &ProviderError) -> bool {
        let anew = self.conversation.without_reasoning();
        let items = anew.items();
        if items == self.conversation.items() || anew.forgot() > MAX_RESETS {
            return false;
        }
        self.log.emit(error_event(error, 1, true)).await;
        let before = self.conversation.tokens();
        self.start_anew(ResetReason::ReasoningRejected, anew, items, before)
            .await;
        true
    }
}

//! Why a reply ended.

use pullwright_protocol::provider::StopReason;

use super::event::PromptFeedback;
use crate::kit::Finish;

#[derive(Clone, Debug)]
pub(super) struct End {
    reason: String,
    message: Option<String>,
    blocked: bool,
}

impl End {
    /// The API says that the answer is over.
    pub(super) fn said(reason: String, message: Option<String>) -> Self {
        Self {
            reason,
            message,
            blocked: false,
        }
    }

    /// The prompt was refused, so there is no answer.
    pub(super) fn blocked(feedback: PromptFeedback) -> Option<Self> {
        Some(Self {
            reason: feedback.block_reason?,
            message: feedback.block_reason_message,
            blocked: true,
        })
    }

    /// The API calls it a normal stop when the model waits for tools.
    pub(super) fn into_finish(self, called: bool) -> Finish {
        let stop = match self.reason.as_str() {
            _ if self.blocked => StopReason::Refusal,
            // The second is a gateway's word.
            "STOP" | "FUNCTION_CALL" if called => StopReason::ToolUse,
            "STOP" => StopReason::EndTurn,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => StopReason::Refusal,
            // MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, TOO_MANY_TOOL_CALLS,
            // MISSING_THOUGHT_SIGNATURE, MALFORMED_RESPONSE and what is still to come.
            _ => StopReason::Other,
        };
        let raw = match self.message {
            Some(message) if self.reason != "STOP" => format!("{}: {message}", self.reason),
            _ => self.reason,
        };
        Finish { stop, raw }
    }
}

//! The provider protocol: JSON-RPC 2.0 between the loop and whatever speaks to a model.
//!
//! - [`INFO_METHOD`] answers [`ProviderInfo`].
//! - [`STREAM_METHOD`] is a subscription: it takes [`StreamRequest`], and its notifications
//!   ([`DELTA_NOTIFICATION`]) carry one [`Delta`] each, or an [`Aside`]. [`CANCEL_METHOD`] ends it early.
//!
//! The last delta is always [`Delta::End`] or [`Delta::Error`]; a stream that stops without one is
//! broken. Delivery is lossless: a provider waits for a slow reader instead of dropping deltas.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Provenance};
use crate::outcome::FailureKind;
use crate::tool::ToolSpec;
pub use crate::usage::{Prices, TokenUsage};

/// Asks who the provider is.
pub const INFO_METHOD: &str = "provider.info";
/// Subscribes to one reply.
pub const STREAM_METHOD: &str = "provider.stream";
/// The method of the subscription's notifications.
pub const DELTA_NOTIFICATION: &str = "provider.delta";
/// Unsubscribes, which cancels the reply.
pub const CANCEL_METHOD: &str = "provider.cancel";

/// Who a provider is and what its model can take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// What its items are marked with.
    pub provenance: Provenance,
    /// The size of the model's context, in tokens, where known.
    #[serde(default)]
    pub context_tokens: Option<u64>,
    /// The most tokens one reply may have, where known.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// What the model costs; without it a budget in dollars cannot be kept.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Whether it answers requests to [`compact`](StreamRequest::compact) a conversation.
    #[serde(default)]
    pub compacts: bool,
}

/// What a model can take and costs, as a run counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelLimits {
    /// The size of the model's context, in tokens, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The most tokens one reply may have, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// What the model costs, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Whether its provider makes conversations shorter itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compacts: bool,
}

impl ProviderInfo {
    /// What the model can take and costs.
    #[must_use]
    pub fn limits(&self) -> ModelLimits {
        ModelLimits {
            context_tokens: self.context_tokens,
            max_output_tokens: self.max_output_tokens,
            prices: self.prices,
            compacts: self.compacts,
        }
    }
}

/// Asks for the next reply of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamRequest {
    /// The system prompt, the same for the whole conversation.
    pub system: String,
    /// The tools, the same for the whole conversation.
    pub tools: Vec<ToolSpec>,
    /// The whole conversation so far.
    pub items: Vec<Arc<Item>>,
    /// The most tokens the reply may have.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// Asks for no reply, but for items that say the same as `items` in less: the conversation starts
    /// anew with them. Only a provider that says it [`compacts`](ProviderInfo::compacts) is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compact: bool,
}

/// One piece of a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    /// The provider began to answer.
    Started {
        /// The vendor's id of the request, for support.
        request_id: Option<String>,
    },
    /// More text for the reader.
    Text {
        /// The added text.
        delta: String,
    },
    /// More reasoning.
    Reasoning {
        /// The added text.
        delta: String,
    },
    /// A tool call begins; its arguments follow.
    ToolCallStarted {
        /// The call's id.
        call_id: String,
        /// The tool's name as shown to the model.
        name: String,
    },
    /// More of a tool call's argument text.
    ToolCallArguments {
        /// The call's id.
        call_id: String,
        /// The added text.
        delta: String,
    },
    /// An item of the reply is complete. Items come in the reply's order.
    Item {
        /// The item, with its native JSON.
        item: Item,
    },
    /// What the reply cost so far. The last one counts.
    Usage {
        /// The figures.
        usage: TokenUsage,
    },
    /// The reply is complete. Nothing follows.
    End {
        /// Why the model stopped.
        stop: StopReason,
        /// The reason in the provider's own words.
        raw: String,
    },
    /// The reply broke. Nothing follows.
    Error {
        /// What happened.
        error: ProviderError,
    },
}

/// What may stand among the deltas, and is no part of the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Aside {
    /// Something that people should know, such as that the service left a part of the conversation out.
    Notice {
        /// A sentence, the same whenever the same happens again.
        message: String,
    },
    /// The reply is still being made, though nothing of it comes.
    Alive,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had nothing more to say.
    EndTurn,
    /// It waits for tool results.
    ToolUse,
    /// The reply reached its token limit.
    MaxTokens,
    /// The provider paused; asking again goes on.
    Pause,
    /// The model refused.
    Refusal,
    /// The conversation no longer fits.
    ContextOverflow,
    /// Anything else.
    Other,
}

/// Why a reply broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderError {
    /// What kind of thing happened.
    pub kind: FailureKind,
    /// What happened and what to do, in a sentence.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long the provider asks to wait, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

impl Delta {
    /// Whether nothing follows this delta.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::End { .. } | Self::Error { .. })
    }
}

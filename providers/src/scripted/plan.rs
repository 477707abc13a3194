//! A reply of the script, made ready: its items are built once, not once per request.

use std::sync::Arc;

use pullwright_protocol::provider::{ProviderError, StopReason, StreamRequest, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item, Native, Provenance, RawJson, ToolCall};
use serde_json::{Value, json};

use super::expectation::Expectation;
use super::script::{Call, Fault, FaultKind, Reply, Step, Usage};
use crate::kit::Finish;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) expect: Expectation,
    acts: Vec<Act>,
    pub(super) finish: Finish,
}

#[derive(Debug)]
pub(super) enum Act {
    Text(String, Item),
    Thinking(String, Item),
    Call(ToolCall, Item),
    Compaction(Item),
    Notice(String),
    Usage(TokenUsage),
    Fault(Fault),
    Delay(u64),
    Hang,
}

impl Plan {
    pub(super) fn new(turn: usize, reply: Reply, provenance: &Provenance) -> Self {
        let acts: Vec<Act> = reply
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| act(&format!("{}_{}", turn + 1, index + 1), step, provenance))
            .collect();
        let calls = acts.iter().any(|act| matches!(act, Act::Call(..)));
        let stop = reply.stop.unwrap_or(if calls {
            StopReason::ToolUse
        } else {
            StopReason::EndTurn
        });
        let raw = json!(stop).as_str().unwrap_or_default().to_owned();
        Self {
            expect: reply.expect,
            acts,
            finish: Finish { stop, raw },
        }
    }

    /// The items it sends, in order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.acts.iter().filter_map(|act| match act {
            Act::Text(_, item) | Act::Thinking(_, item) | Act::Call(_, item) => Some(item),
            _ => None,
        })
    }

    /// Whether it may answer a request for a compaction.
    pub(super) fn may_compact(&self) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|act| matches!(act, Act::Compaction(_) | Act::Fault(_)))
    }

    /// What it does.
    pub(super) fn acts_for(&self, request: &StreamRequest) -> impl Iterator<Item = &Act> {
        let compaction = |act: &Act| matches!(act, Act::Compaction(_));
        let is_compaction = request.compact && self.acts.iter().any(compaction);
        let reasoning = |item: &Arc<Item>| matches!(item.content, Content::Reasoning { .. });
        let has_reasoning = request.items.iter().any(reasoning);
        let is_spared = move |act: &&Act| match act {
            Act::Fault(fault) => is_compaction || (fault.while_reasoning && !has_reasoning),
            _ => false,
        };
        self.acts.iter().filter(move |act| !is_spared(act))
    }

    /// Whether it plays differently at another attempt.
    pub(super) fn counts_attempts(&self) -> bool {
        self.acts
            .iter()
            .any(|act| matches!(act, Act::Fault(fault) if fault.attempts.is_some()))
    }
}

fn act(id: &str, step: Step, provenance: &Provenance) -> Act {
    match step {
        Step::Text(text) => {
            let native = json!({ "type": "text", "text": text });
            let item = item(Content::Text { text: text.clone() }, &native, provenance);
            Act::Text(text, item)
        }
        Step::Thinking(text) => {
            let native = json!({ "type": "thinking", "thinking": text, "signature": format!("signature_{id}") });
            let item = item(
                Content::Reasoning { text: text.clone() },
                &native,
                provenance,
            );
            Act::Thinking(text, item)
        }
        Step::ToolCall(call) => {
            let call = tool_call(format!("call_{id}"), call);
            let native = json!({ "type": "tool_call", "id": call.call_id, "name": call.name, "arguments": call.arguments });
            let item = item(Content::ToolCall(call.clone()), &native, provenance);
            Act::Call(call, item)
        }
        Step::Compaction(text) => {
            let native = json!({ "type": "compaction", "content": text });
            Act::Compaction(item(Content::Opaque, &native, provenance))
        }
        Step::Notice(message) => Act::Notice(message),
        Step::Usage(usage) => Act::Usage(usage.into()),
        Step::Fault(fault) => Act::Fault(fault),
        Step::DelayMs(time) => Act::Delay(time),
        Step::Hang => Act::Hang,
    }
}

fn tool_call(call_id: String, call: Call) -> ToolCall {
    let arguments = match call.arguments {
        Value::String(text) => text,
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    ToolCall {
        call_id,
        name: call.name,
        arguments,
    }
}

fn item(content: Content, native: &Value, provenance: &Provenance) -> Item {
    let native = Native {
        provenance: provenance.clone(),
        json: RawJson::from(native),
    };
    Item {
        content,
        native: Some(native),
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            output_tokens: usage.output_tokens,
        }
    }
}

impl Fault {
    pub(super) fn fires_at(&self, attempt: u32) -> bool {
        self.attempts.is_none_or(|attempts| attempt <= attempts)
    }

    pub(super) fn error(&self) -> ProviderError {
        let (kind, retryable, what) = match self.kind {
            FaultKind::Overloaded => (FailureKind::Overloaded, true, "is overloaded"),
            FaultKind::RateLimited => (FailureKind::RateLimited, true, "asks to slow down"),
            FaultKind::CutStream => (FailureKind::Transport, true, "cut the stream"),
            FaultKind::InvalidRequest => (
                FailureKind::ProviderRequest,
                false,
                "says the request is invalid",
            ),
            FaultKind::Auth => (FailureKind::ProviderAuth, false, "refused the key"),
            FaultKind::Budget => (
                FailureKind::ProviderBudget,
                false,
                "says the account is out of money",
            ),
            FaultKind::ContextOverflow => (
                FailureKind::ContextOverflow,
                false,
                "says the conversation is too long",
            ),
            FaultKind::ReasoningRejected => (
                FailureKind::ReasoningRejected,
                false,
                "does not take its reasoning back",
            ),
        };
        ProviderError {
            kind,
            message: format!("the scripted model {what}, as its script says"),
            retryable,
            retry_after_ms: self.retry_after_ms,
        }
    }
}

/// An error of the script or of the request; asking again would not help.
pub(super) fn invalid(message: String) -> ProviderError {
    ProviderError {
        kind: FailureKind::ProviderRequest,
        message,
        retryable: false,
        retry_after_ms: None,
    }
}

//! What of an event is traced.

mod event;

use opentelemetry::KeyValue;
use pullwright_protocol::provider::{StopReason, TokenUsage};
use pullwright_protocol::{
    CheckPhase, FailureKind, LoggedEvent, Outcome, Provenance, RunUsage, Stage,
};

use super::content::Said;

/// A part of an event, and when it happened. Content is in it only where it is asked for.
pub(super) struct Step {
    pub(super) seq: u64,
    pub(super) at_ms: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Created {
        prompt: Option<Said>,
    },
    IsIn(Stage),
    Fetched(Base),
    Asks(Asked),
    StartedAnew(Reset),
    /// Said by the framework to the model.
    Told(Vec<Said>),
    Replied(Reply),
    Answered(Answer),
    CallBegan(Call),
    CallEnded(CallEnd),
    Checked(Check),
    Pushed(Push),
    Proposed {
        number: u64,
        base: String,
    },
    /// A thing of no length.
    Happened(&'static str, Vec<KeyValue>),
    WentWrong(Failure),
    Ended {
        outcome: Outcome,
        usage: RunUsage,
    },
}

/// What a run starts from.
pub(super) struct Base {
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) commit: String,
}

/// The model that is asked from now on.
pub(super) struct Asked {
    pub(super) provenance: Provenance,
    pub(super) system: Option<String>,
}

/// The conversation starts anew.
pub(super) struct Reset {
    pub(super) attributes: Vec<KeyValue>,
    pub(super) is_compacted: bool,
    pub(super) said: Vec<Said>,
}

/// A reply of the model is complete.
pub(super) struct Reply {
    pub(super) stop: StopReason,
    pub(super) usage: TokenUsage,
    pub(super) usd: Option<f64>,
    pub(super) time_ms: u64,
}

/// A part of the reply that came before, and the model that gave it, where the part says.
pub(super) struct Answer {
    pub(super) provenance: Option<Provenance>,
    pub(super) said: Vec<Said>,
}

/// A call of a tool.
pub(super) struct Call {
    pub(super) id: String,
    pub(super) server: String,
    pub(super) tool: String,
}

/// How a call of a tool went.
pub(super) struct CallEnd {
    pub(super) call: Call,
    pub(super) is_error: bool,
    pub(super) time_ms: u64,
    pub(super) content: Option<CallContent>,
}

pub(super) struct CallContent {
    pub(super) arguments: String,
    pub(super) result: String,
    pub(super) answer: Said,
}

/// How a check went.
pub(super) struct Check {
    pub(super) phase: CheckPhase,
    pub(super) exit_code: Option<i32>,
    pub(super) time_ms: u64,
    pub(super) command: Option<String>,
}

/// What is pushed.
pub(super) struct Push {
    /// Content, since it is made from the prompt.
    pub(super) branch: Option<String>,
    pub(super) commit: String,
}

/// What went wrong, without words that may hold content.
#[derive(Clone, Copy)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) retrying: bool,
    pub(super) attempt: u32,
}

impl Step {
    /// Nothing where an event is not traced.
    pub(super) fn of(logged: &LoggedEvent, with_content: bool) -> Option<Self> {
        Some(Self {
            seq: logged.seq,
            at_ms: logged.at_ms,
            what: What::of(&logged.event, with_content)?,
        })
    }
}

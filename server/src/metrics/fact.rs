//! What of an event is counted.

use pullwright_protocol::provider::TokenUsage;
use pullwright_protocol::{
    CheckPhase, Event, FailureKind, LoggedEvent, Outcome, Provenance, Stage,
};

/// What of an event is counted, and when it happened: little of what it holds.
pub(super) struct Fact {
    pub(super) at_ms: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Created,
    IsIn(Stage),
    /// The row and the name of the model that is asked from now on.
    Asks(String, String),
    Replied {
        usage: TokenUsage,
        usd: Option<f64>,
        time_ms: u64,
    },
    /// A reply that is not there was paid for.
    Paid {
        usage: TokenUsage,
        usd: Option<f64>,
    },
    /// With the row and the name of the model that is asked from now on, if one is.
    Resumed(Option<(String, String)>),
    Parked,
    StartedAnew,
    WentInCircles,
    Answered {
        server: String,
        is_error: bool,
        time_ms: u64,
    },
    Restarted {
        server: String,
    },
    Opened {
        kind: String,
    },
    Checked {
        phase: CheckPhase,
        passed: bool,
    },
    WentWrong {
        kind: FailureKind,
        retrying: bool,
    },
    Ended(Outcome),
}

impl Fact {
    /// Nothing where an event is not counted.
    pub(super) fn of(logged: &LoggedEvent) -> Option<Self> {
        let what = match &logged.event {
            Event::RunCreated { .. } => What::Created,
            Event::Status { stage, .. } => What::IsIn(*stage),
            Event::ConversationStarted { provenance, .. }
            | Event::ProviderChanged { provenance, .. } => {
                let (row, model) = named(provenance);
                What::Asks(row, model)
            }
            Event::ModelReplied {
                usage,
                usd,
                duration_ms,
                ..
            } => What::Replied {
                usage: *usage,
                usd: *usd,
                time_ms: *duration_ms,
            },
            Event::ReplyLost { usage, usd } => What::Paid {
                usage: *usage,
                usd: *usd,
            },
            Event::Resumed { model, .. } => What::Resumed(model.as_ref().map(named)),
            Event::Parked { .. } => What::Parked,
            Event::ConversationReset { .. } => What::StartedAnew,
            Event::CircleFound { .. } => What::WentInCircles,
            Event::ToolAnswered {
                server,
                is_error,
                duration_ms,
                ..
            } => What::Answered {
                server: server.clone(),
                is_error: *is_error,
                time_ms: *duration_ms,
            },
            Event::ToolServerRestarted { server, .. } => What::Restarted {
                server: server.clone(),
            },
            Event::SandboxOpened { kind, .. } => What::Opened { kind: kind.clone() },
            Event::Checked { report } => What::Checked {
                phase: report.phase,
                passed: report.passed(),
            },
            Event::Error { kind, retrying, .. } => What::WentWrong {
                kind: *kind,
                retrying: *retrying,
            },
            Event::Done { outcome, .. } => What::Ended(*outcome),
            _ => return None,
        };
        Some(Self {
            at_ms: logged.at_ms,
            what,
        })
    }
}

fn named(model: &Provenance) -> (String, String) {
    (model.provider.clone(), model.model.clone())
}

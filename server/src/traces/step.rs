//! What of an event is traced.

use opentelemetry::{KeyValue, Value};
use pullwright_protocol::provider::{StopReason, TokenUsage};
use pullwright_protocol::{
    CheckPhase, CheckReport, Event, FailureKind, LoggedEvent, Outcome, Provenance, ResetReason,
    RunUsage, Stage,
};

use super::content::{self, Said};
use super::span::{int, short};

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
    Fetched {
        url: String,
        branch: String,
        commit: String,
    },
    /// The model that is asked from now on.
    Asks {
        provenance: Provenance,
        system: Option<String>,
    },
    /// The conversation starts anew.
    StartedAnew {
        attributes: Vec<KeyValue>,
        is_compacted: bool,
        said: Vec<Said>,
    },
    /// Said by the framework to the model.
    Told(Vec<Said>),
    /// A part of the reply that came before.
    Answered(Vec<Said>),
    Replied {
        stop: StopReason,
        usage: TokenUsage,
        usd: Option<f64>,
        time_ms: u64,
    },
    CallBegan(Call),
    CallEnded(CallEnd),
    Checked {
        phase: CheckPhase,
        exit_code: Option<i32>,
        time_ms: u64,
        command: Option<String>,
    },
    Pushed {
        /// Content, since it is made from the prompt.
        branch: Option<String>,
        commit: String,
    },
    Proposed {
        number: u64,
        base: String,
    },
    /// A thing of no length.
    Happened(&'static str, Vec<KeyValue>),
    WentWrong {
        kind: FailureKind,
        retrying: bool,
        attempt: u32,
    },
    Ended {
        outcome: Outcome,
        usage: RunUsage,
    },
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

impl What {
    fn of(event: &Event, with_content: bool) -> Option<Self> {
        Some(match event {
            Event::RunCreated { request } => Self::Created {
                prompt: with_content
                    .then(|| Said::of(&pullwright_protocol::Item::user(&request.prompt)).pop())
                    .flatten(),
            },
            Event::Status { stage, .. } => Self::IsIn(*stage),
            Event::RepositoryFetched {
                url,
                branch,
                commit,
                ..
            } => Self::Fetched {
                url: short(url),
                branch: short(branch),
                commit: short(commit),
            },
            Event::ConversationStarted {
                provenance, system, ..
            } => Self::Asks {
                provenance: provenance.clone(),
                system: with_content.then(|| content::instructions(system)),
            },
            Event::ProviderChanged { provenance } => Self::Asks {
                provenance: provenance.clone(),
                system: None,
            },
            Event::ConversationReset {
                reason,
                items,
                tokens_before,
                tokens_after,
            } => Self::StartedAnew {
                attributes: vec![
                    attribute("pullwright.tokens_before", int(*tokens_before)),
                    attribute("pullwright.tokens_after", int(*tokens_after)),
                ],
                is_compacted: *reason == ResetReason::TooLong,
                said: only(with_content, || items.iter().flat_map(Said::of).collect()),
            },
            Event::ItemAppended { item } if item.is_from_model() => {
                Self::Answered(only(with_content, || Said::of(item)))
            }
            Event::ItemAppended { item } => Self::Told(only(with_content, || Said::of(item))),
            Event::ModelReplied {
                stop,
                usage,
                usd,
                duration_ms,
            } => Self::Replied {
                stop: *stop,
                usage: *usage,
                usd: *usd,
                time_ms: *duration_ms,
            },
            Event::ToolStarted {
                call_id,
                server,
                tool,
            } => Self::CallBegan(Call::new(call_id, server, tool)),
            Event::ToolAnswered { .. } => Self::CallEnded(CallEnd::of(event, with_content)?),
            Event::Checked { report } => Self::checked(report, with_content),
            Event::BranchPushed { branch, commit } => Self::Pushed {
                branch: with_content.then(|| short(branch)),
                commit: short(commit),
            },
            Event::PullRequestOpened { number, base, .. } => Self::Proposed {
                number: *number,
                base: short(base),
            },
            Event::SandboxOpened { kind, .. } => Self::Happened(
                "pullwright.sandbox_opened",
                vec![attribute("pullwright.sandbox.kind", short(kind))],
            ),
            Event::ToolServerRestarted { server, .. } => {
                Self::of_server("pullwright.tool_server_restarted", server)
            }
            Event::ToolServerLost { server, .. } => {
                Self::of_server("pullwright.tool_server_lost", server)
            }
            Event::ToolListChanged { server, .. } => {
                Self::of_server("pullwright.tool_list_changed", server)
            }
            Event::CircleFound { ends, .. } => Self::Happened(
                "pullwright.circle_found",
                vec![attribute("pullwright.circle.ends_run", *ends)],
            ),
            Event::Error {
                kind,
                retrying,
                attempt,
                ..
            } => Self::WentWrong {
                kind: *kind,
                retrying: *retrying,
                attempt: *attempt,
            },
            Event::Done { outcome, usage, .. } => Self::Ended {
                outcome: *outcome,
                usage: *usage,
            },
            Event::NetworkAccessed { .. }
            | Event::ReasoningDelta { .. }
            | Event::MessageDelta { .. }
            | Event::ToolOutputDelta { .. }
            | Event::PatchStored { .. } => return None,
        })
    }

    fn checked(report: &CheckReport, with_content: bool) -> Self {
        Self::Checked {
            phase: report.phase,
            exit_code: report.exit_code,
            time_ms: report.duration_ms,
            command: with_content.then(|| content::cut(&report.command)),
        }
    }

    fn of_server(name: &'static str, server: &str) -> Self {
        let server = attribute(super::names::TOOL_SERVER, short(server));
        Self::Happened(name, vec![server])
    }
}

impl Call {
    fn new(id: &str, server: &str, tool: &str) -> Self {
        Self {
            id: short(id),
            server: short(server),
            tool: short(tool),
        }
    }
}

impl CallEnd {
    fn of(event: &Event, with_content: bool) -> Option<Self> {
        let Event::ToolAnswered {
            call_id,
            server,
            tool,
            arguments,
            parts,
            is_error,
            duration_ms,
            ..
        } = event
        else {
            return None;
        };
        let content = || CallContent {
            arguments: content::cut(&arguments.to_string()),
            result: content::result(parts),
            answer: Said::answer(call_id, parts),
        };
        Some(Self {
            call: Call::new(call_id, server, tool),
            is_error: *is_error,
            time_ms: *duration_ms,
            content: with_content.then(content),
        })
    }
}

fn attribute(key: &'static str, value: impl Into<Value>) -> KeyValue {
    KeyValue::new(key, value)
}

fn only(asked: bool, said: impl FnOnce() -> Vec<Said>) -> Vec<Said> {
    if asked { said() } else { Vec::new() }
}

//! From an event to what is traced of it.

use opentelemetry::{KeyValue, Value};
use pullwright_protocol::{CheckReport, Event, Item, Provenance, ResetReason};

use super::super::content::{self, Said};
use super::super::names;
use super::super::span::{int, short};
use super::{
    Answer, Asked, Base, Call, CallContent, CallEnd, Check, Failure, Push, Reply, Reset, What,
};

impl What {
    pub(super) fn of(event: &Event, with_content: bool) -> Option<Self> {
        let content = Content(with_content);
        Some(match event {
            Event::RunCreated { request } => Self::Created {
                prompt: content.said(&Item::user(&request.prompt)).pop(),
            },
            Event::Status { stage, .. } => Self::IsIn(*stage),
            Event::RepositoryFetched {
                url,
                branch,
                commit,
                ..
            } => Self::Fetched(Base {
                url: short(url),
                branch: short(branch),
                commit: short(commit),
            }),
            Event::ConversationStarted {
                provenance, system, ..
            } => asks(provenance, content.of(|| content::instructions(system))),
            Event::ProviderChanged { provenance, .. } => asks(provenance, None),
            Event::ConversationReset { .. } => reset(event, content)?,
            Event::ItemAppended { item } if item.is_from_model() => Self::Answered(Answer {
                provenance: item.native.as_ref().map(|native| native.provenance.clone()),
                said: content.said(item),
            }),
            Event::ItemAppended { item } => Self::Told(content.said(item)),
            Event::MessageHeard { text, .. } => Self::Told(content.said(&Item::user(text))),
            Event::ModelReplied {
                stop,
                usage,
                usd,
                duration_ms,
            } => Self::Replied(Reply {
                stop: *stop,
                usage: *usage,
                usd: *usd,
                time_ms: *duration_ms,
            }),
            Event::ToolStarted {
                call_id,
                server,
                tool,
            } => Self::CallBegan(Call::new(call_id, server, tool)),
            Event::ToolAnswered { .. } => call_ended(event, content)?,
            Event::Checked { report } => checked(report, content),
            Event::BranchPushed { branch, commit, .. } => Self::Pushed(Push {
                branch: content.of(|| short(branch)),
                commit: short(commit),
            }),
            Event::PullRequestOpened { number, base, .. } => Self::Proposed {
                number: *number,
                base: short(base),
            },
            Event::Resumed { .. } => happened("pullwright.resumed", ("pullwright.resumed", true)),
            Event::Parked { until_ms, .. } => happened(
                "pullwright.parked",
                ("pullwright.parked.until_ms", int(*until_ms)),
            ),
            Event::RunFollowed { followed } => happened(
                "pullwright.run_followed",
                ("pullwright.followed.run", short(&followed.run.0)),
            ),
            Event::SandboxOpened { kind, .. } => happened(
                "pullwright.sandbox_opened",
                ("pullwright.sandbox.kind", short(kind)),
            ),
            Event::ToolServerRestarted { server, .. } => happened(
                "pullwright.tool_server_restarted",
                (names::TOOL_SERVER, short(server)),
            ),
            Event::ToolServerLost { server, .. } => happened(
                "pullwright.tool_server_lost",
                (names::TOOL_SERVER, short(server)),
            ),
            Event::ToolListChanged { server, .. } => happened(
                "pullwright.tool_list_changed",
                (names::TOOL_SERVER, short(server)),
            ),
            Event::CircleFound { ends, .. } => happened(
                "pullwright.circle_found",
                ("pullwright.circle.ends_run", *ends),
            ),
            Event::Error {
                kind,
                retrying,
                attempt,
                ..
            } => Self::WentWrong(Failure {
                kind: *kind,
                retrying: *retrying,
                attempt: *attempt,
            }),
            Event::Done { outcome, usage, .. } => Self::Ended {
                outcome: *outcome,
                usage: *usage,
            },
            Event::CommandsChosen { .. }
            | Event::CompactionStarted
            | Event::CompactionEnded
            | Event::ReplyLost { .. }
            | Event::SandboxLost
            | Event::SandboxUsed { .. }
            | Event::WorkspaceRestored { .. }
            | Event::NetworkAccessed { .. }
            | Event::ReasoningDelta { .. }
            | Event::MessageDelta { .. }
            | Event::ToolOutputDelta { .. }
            | Event::RepairAsked
            | Event::PatchStored { .. }
            | Event::PushStarted { .. }
            | Event::PatchRemoved => return None,
        })
    }
}

/// Whether content is taken.
#[derive(Clone, Copy)]
struct Content(bool);

impl Content {
    fn of<T>(self, taken: impl FnOnce() -> T) -> Option<T> {
        self.0.then(taken)
    }

    fn said(self, item: &Item) -> Vec<Said> {
        self.of(|| Said::of(item)).unwrap_or_default()
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

fn asks(provenance: &Provenance, system: Option<String>) -> What {
    What::Asks(Asked {
        provenance: provenance.clone(),
        system,
    })
}

fn reset(event: &Event, content: Content) -> Option<What> {
    let Event::ConversationReset {
        reason,
        items,
        tokens_before,
        tokens_after,
    } = event
    else {
        return None;
    };
    Some(What::StartedAnew(Reset {
        attributes: vec![
            KeyValue::new("pullwright.tokens_before", int(*tokens_before)),
            KeyValue::new("pullwright.tokens_after", int(*tokens_after)),
        ],
        is_compacted: *reason == ResetReason::TooLong,
        said: items.iter().flat_map(|item| content.said(item)).collect(),
    }))
}

fn call_ended(event: &Event, content: Content) -> Option<What> {
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
    Some(What::CallEnded(CallEnd {
        call: Call::new(call_id, server, tool),
        is_error: *is_error,
        time_ms: *duration_ms,
        content: content.of(|| CallContent {
            arguments: content::cut(&arguments.to_string()),
            result: content::result(parts),
            answer: Said::answer(call_id, parts),
        }),
    }))
}

fn checked(report: &CheckReport, content: Content) -> What {
    What::Checked(Check {
        phase: report.phase,
        exit_code: report.exit_code,
        time_ms: report.duration_ms,
        command: content.of(|| content::cut(&report.command)),
    })
}

fn happened(name: &'static str, (key, value): (&'static str, impl Into<Value>)) -> What {
    What::Happened(name, vec![KeyValue::new(key, value)])
}

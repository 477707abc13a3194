//! The frames of `POST /code`: a view of the event log for people and simple clients.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::check::CheckPhase;
use crate::event::{Event, ResetReason, Stage};
use crate::item::{Content, joined_text};
use crate::outcome::{FailureKind, Outcome};
use crate::request::RunId;
use crate::tool::{EXIT_CODE_KEY, ToolView};
use crate::usage::RunUsage;

/// What a client of the stream asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameOptions {
    /// Whether messages and tool output are shown while they grow (`?deltas=1`).
    pub deltas: bool,
}

/// One frame of the stream: the JSON of its `data:` line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Frame {
    /// A frame whose `type` is known beforehand.
    Named(NamedFrame),
    /// `Tool: <server>.<tool>`.
    Tool {
        /// The whole type.
        #[serde(rename = "type")]
        #[schemars(regex(pattern = r"^Tool: .+\..+$"))]
        name: String,
        /// The arguments.
        arguments: Value,
        /// The output, as the model saw it.
        output: String,
        /// Whether the tool failed.
        #[serde(rename = "isError")]
        is_error: bool,
    },
}

/// The frames with a fixed `type`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the events they show")]
pub enum NamedFrame {
    /// A stage begins or has something to say.
    Status { stage: Stage, message: String },
    /// The model thinks.
    #[serde(rename = "AI Thinking")]
    AiThinking { delta: String },
    /// The model wrote a message.
    #[serde(rename = "AI Message")]
    AiMessage { message: String },
    /// The model writes a message.
    #[serde(rename = "AI Message Delta")]
    AiMessageDelta { delta: String },
    /// A file was read.
    #[serde(rename = "Tool: Read")]
    ToolRead { filepath: String, is_error: bool },
    /// A file was changed.
    #[serde(rename = "Tool: Edit")]
    ToolEdit {
        filepath: String,
        #[serde(rename = "old_str")]
        old_str: String,
        #[serde(rename = "new_str")]
        new_str: String,
        is_error: bool,
    },
    /// A command ran.
    #[serde(rename = "Tool: Bash")]
    ToolBash {
        command: String,
        output: String,
        exit_code: Option<i64>,
    },
    /// A running tool wrote output.
    #[serde(rename = "Tool Output Delta")]
    ToolOutputDelta { delta: String },
    /// A check ran.
    Check {
        command: String,
        exit_code: Option<i32>,
        duration_ms: u64,
        tree: String,
        phase: CheckPhase,
    },
    /// Something went wrong.
    Error {
        kind: FailureKind,
        message: String,
        retrying: bool,
        attempt: u32,
    },
    /// A pull request is open.
    #[serde(rename = "Pull Request")]
    PullRequest {
        url: String,
        number: u64,
        branch: String,
        base: String,
        draft: bool,
    },
    /// The last frame.
    Done {
        outcome: Outcome,
        pr_url: Option<String>,
        branch: Option<String>,
        patch_url: Option<String>,
        summary: String,
        usage: RunUsage,
    },
}

impl Frame {
    /// The frame that shows `event`, if it is shown at all.
    #[must_use]
    pub fn of(run: &RunId, event: &Event, options: FrameOptions) -> Option<Self> {
        let named = match event {
            Event::Status { stage, message } => NamedFrame::Status {
                stage: *stage,
                message: message.clone(),
            },
            Event::RunFollowed { followed } => NamedFrame::Status {
                stage: Stage::Clone,
                message: format!(
                    "the run goes on with the change of run {}, which ended with: {}",
                    followed.run, followed.outcome
                ),
            },
            Event::Resumed { .. } => NamedFrame::Status {
                stage: Stage::Queued,
                message: "another server process goes on with the run".to_owned(),
            },
            Event::Parked { stage, reason, .. } => NamedFrame::Status {
                stage: *stage,
                message: format!("the run waits, and goes on by itself: {reason}"),
            },
            Event::SandboxLost => NamedFrame::Status {
                stage: Stage::Sandbox,
                message: "another sandbox takes the place of the one that is lost".to_owned(),
            },
            Event::SandboxUsed { used } => NamedFrame::Status {
                stage: Stage::Sandbox,
                message: format!("the sandbox used {used}"),
            },
            Event::ConversationReset {
                reason,
                tokens_before,
                tokens_after,
                ..
            } => NamedFrame::Status {
                stage: Stage::Work,
                message: format!(
                    "{} (about {tokens_before} tokens before, {tokens_after} now)",
                    told(*reason)
                ),
            },
            Event::CircleFound { what, ends } => NamedFrame::Status {
                stage: Stage::Work,
                message: match ends {
                    true => format!("the model still goes in circles: {what}"),
                    false => format!("the model goes in circles and is told so: {what}"),
                },
            },
            Event::MessageHeard { text, .. } => NamedFrame::Status {
                stage: Stage::Work,
                message: format!("the model is told: {text}"),
            },
            Event::NetworkAccessed { access } => NamedFrame::Status {
                stage: Stage::Sandbox,
                message: access.complaint()?,
            },
            Event::ReasoningDelta { delta } => NamedFrame::AiThinking {
                delta: delta.clone(),
            },
            Event::ItemAppended { item } => NamedFrame::AiMessage {
                message: match &item.content {
                    Content::Text { text } if !text.is_empty() => text.clone(),
                    _ => return None,
                },
            },
            Event::MessageDelta { delta } if options.deltas => NamedFrame::AiMessageDelta {
                delta: delta.clone(),
            },
            Event::ToolOutputDelta { delta, .. } if options.deltas => NamedFrame::ToolOutputDelta {
                delta: delta.clone(),
            },
            Event::ToolAnswered { .. } => return tool_frame(event),
            Event::ToolServerRestarted { .. }
            | Event::ToolServerLost { .. }
            | Event::ToolListChanged { .. } => NamedFrame::Status {
                stage: Stage::Work,
                message: news_of_server(event)?,
            },
            Event::Checked { report } => NamedFrame::Check {
                command: report.command.clone(),
                exit_code: report.exit_code,
                duration_ms: report.duration_ms,
                tree: report.tree.clone(),
                phase: report.phase,
            },
            Event::Error {
                kind,
                message,
                retrying,
                attempt,
            } => NamedFrame::Error {
                kind: *kind,
                message: message.clone(),
                retrying: *retrying,
                attempt: *attempt,
            },
            Event::PullRequestOpened {
                url,
                number,
                branch,
                base,
                draft,
            } => NamedFrame::PullRequest {
                url: url.clone(),
                number: *number,
                branch: branch.clone(),
                base: base.clone(),
                draft: *draft,
            },
            Event::Done {
                outcome,
                summary,
                pr_url,
                branch,
                has_patch,
                usage,
            } => NamedFrame::Done {
                outcome: *outcome,
                pr_url: pr_url.clone(),
                branch: branch.clone(),
                patch_url: has_patch.then(|| format!("/v1/runs/{run}/patch")),
                summary: summary.clone(),
                usage: *usage,
            },
            Event::RunCreated { .. }
            | Event::RepositoryFetched { .. }
            | Event::CommandsChosen { .. }
            | Event::CompactionStarted
            | Event::CompactionEnded
            | Event::WorkspaceRestored { .. }
            | Event::SandboxOpened { .. }
            | Event::ConversationStarted { .. }
            | Event::ProviderChanged { .. }
            | Event::MessageDelta { .. }
            | Event::ModelReplied { .. }
            | Event::ToolStarted { .. }
            | Event::ToolOutputDelta { .. }
            | Event::PatchStored { .. }
            | Event::PatchRemoved
            | Event::RepairAsked
            | Event::ReplyLost { .. }
            | Event::PushStarted { .. }
            | Event::BranchPushed { .. } => return None,
        };
        Some(Self::Named(named))
    }
}

fn told(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::TooLong => {
            "the conversation became too long for the model's context; it goes on from a summary"
        }
        ResetReason::ReasoningRejected => {
            "the provider does not take the model's reasoning back; the conversation goes on without it"
        }
    }
}

fn news_of_server(event: &Event) -> Option<String> {
    Some(match event {
        Event::ToolServerRestarted { server, reason } => {
            format!("tool server `{server}` was lost and is back: {reason}")
        }
        Event::ToolServerLost { server, reason } => {
            format!("tool server `{server}` is gone: {reason}")
        }
        Event::ToolListChanged {
            server,
            added,
            changed,
            removed,
        } => {
            let parts = [
                ("new, for the next run", added),
                ("not the same as before, so not called any more", changed),
                ("gone", removed),
            ];
            let parts = parts.iter().filter(|(_, names)| !names.is_empty());
            let parts: Vec<String> = parts
                .map(|(what, names)| format!("{} ({what})", names.join(", ")))
                .collect();
            match parts.is_empty() {
                true => format!("tool server `{server}` lists the same tools as at first again"),
                false => format!(
                    "tool server `{server}` lists other tools: {}",
                    parts.join("; ")
                ),
            }
        }
        _ => return None,
    })
}

fn tool_frame(event: &Event) -> Option<Frame> {
    let Event::ToolAnswered {
        server,
        tool,
        arguments,
        parts,
        is_error,
        structured,
        view,
        ..
    } = event
    else {
        return None;
    };
    let argument = |name: &str| {
        arguments
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Some(match view {
        ToolView::Read { path } => Frame::Named(NamedFrame::ToolRead {
            filepath: argument(path),
            is_error: *is_error,
        }),
        ToolView::Edit { path, old, new } => Frame::Named(NamedFrame::ToolEdit {
            filepath: argument(path),
            old_str: old.as_deref().map(argument).unwrap_or_default(),
            new_str: argument(new),
            is_error: *is_error,
        }),
        ToolView::Bash { command } => Frame::Named(NamedFrame::ToolBash {
            command: argument(command),
            output: joined_text(parts),
            exit_code: structured
                .as_ref()
                .and_then(|result| result.get(EXIT_CODE_KEY))
                .and_then(Value::as_i64),
        }),
        ToolView::Plain => Frame::Tool {
            name: tool_name(server, tool),
            arguments: arguments.clone(),
            output: joined_text(parts),
            is_error: *is_error,
        },
    })
}

/// A call that could not be run, such as one of a tool that does not exist, has no server.
fn tool_name(server: &str, tool: &str) -> String {
    match server {
        "" => format!("Tool: {tool}"),
        server => format!("Tool: {server}.{tool}"),
    }
}

//! Calls of tools: the spans `execute_tool`.

use opentelemetry_sdk::trace::SpanData;

use super::super::names;
use super::super::span::Draft;
use super::super::step::{Call, CallEnd};
use super::RunTrace;

/// The most calls that are open at the same time: more than the loop makes side by side.
const MAX_OPEN: usize = 64;

/// The kind of a tool that runs where the agent is told to run it, in the words of the conventions.
const FUNCTION: &str = "function";

/// How a call ends that a model may repair, as MCP's own conventions call it.
const TOOL_ERROR: &str = "tool_error";

/// A call whose answer never came.
const INTERRUPTED: &str = "interrupted";

impl RunTrace {
    pub(super) fn call_began(&mut self, seq: u64, call: &Call) {
        if self.calls.len() < MAX_OPEN {
            let draft = self.call(seq, call, self.now_ms);
            self.calls.insert(call.id.clone(), draft);
        }
    }

    pub(super) fn call_ended(&mut self, seq: u64, end: CallEnd, spans: &mut Vec<SpanData>) {
        let began = self.calls.remove(&end.call.id);
        // Answers are told in the order of the calls, so one may be told long after it came. A call that
        // was refused never began.
        let ended_ms = began
            .as_ref()
            .map(|draft| draft.started_ms().saturating_add(end.time_ms));
        let mut draft = match began {
            Some(draft) => draft,
            None => {
                let started_ms = self.now_ms.saturating_sub(end.time_ms);
                self.call(seq, &end.call, started_ms)
            }
        };
        if end.is_error {
            draft.fail(TOOL_ERROR);
        }
        let mut said = Vec::new();
        if let Some(content) = end.content {
            draft.set(names::TOOL_CALL_ARGUMENTS, content.arguments);
            draft.set(names::TOOL_CALL_RESULT, content.result);
            said.push(content.answer);
        }
        self.turn.told(said, self.now_ms);
        let ended_ms = ended_ms.unwrap_or(self.now_ms).min(self.now_ms);
        spans.push(draft.end(self.ids.trace(), ended_ms));
    }

    pub(super) fn interrupt_calls(&mut self, spans: &mut Vec<SpanData>) {
        for (_, mut draft) in std::mem::take(&mut self.calls) {
            draft.fail(INTERRUPTED);
            spans.push(self.end(draft));
        }
    }

    fn call(&mut self, seq: u64, call: &Call, started_ms: u64) -> Draft {
        let name = format!("{} {}", names::EXECUTE_TOOL, call.tool);
        self.child(seq, name, started_ms)
            .with(names::OPERATION, names::EXECUTE_TOOL)
            .with(names::AGENT_NAME, names::AGENT)
            .with(names::TOOL_NAME, call.tool.clone())
            .with(names::TOOL_TYPE, FUNCTION)
            .with(names::TOOL_CALL_ID, call.id.clone())
            .with(names::TOOL_SERVER, call.server.clone())
    }
}

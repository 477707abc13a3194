//! What is done around the model's work: checks, the push, the pull request.

use opentelemetry_sdk::trace::SpanData;
use pullwright_protocol::{CheckPhase, FailureKind};

use super::super::names;
use super::super::step::{Check, Push};
use super::RunTrace;

/// How a check ends that did not end in time.
const TIMEOUT: &str = "timeout";

impl RunTrace {
    pub(super) fn checked(&mut self, seq: u64, check: Check) -> SpanData {
        let name = match check.phase {
            CheckPhase::Before => names::CHECK_BEFORE,
            CheckPhase::After => names::CHECK_AFTER,
        };
        let mut draft = self.child_of_length(seq, name, check.time_ms);
        draft.set_if_known(names::COMMAND_LINE, check.command);
        draft.set_if_known(names::EXIT_CODE, check.exit_code.map(i64::from));
        match check.exit_code {
            Some(0) => {}
            Some(code) => draft.fail(code.to_string()),
            None => draft.fail(TIMEOUT),
        }
        self.end(draft)
    }

    /// Between the event before it and its own nothing else takes time.
    pub(super) fn pushed(&mut self, seq: u64, push: Push) -> SpanData {
        self.is_pushed = true;
        let mut draft = self
            .child(seq, names::PUSH, self.before_ms)
            .with(names::HEAD_REVISION, push.commit);
        draft.set_if_known(names::HEAD_NAME, push.branch);
        self.end(draft)
    }

    pub(super) fn proposed(&mut self, seq: u64, number: u64, base: String) -> SpanData {
        self.root.set(names::CHANGE_ID, number.to_string());
        let draft = self
            .child(seq, names::PULL_REQUEST, self.before_ms)
            .with(names::CHANGE_ID, number.to_string())
            .with(names::BASE_NAME, base);
        self.end(draft)
    }

    /// A push, or a pull request after it, that did not come about.
    pub(super) fn not_published(&mut self, seq: u64, kind: FailureKind) -> SpanData {
        let name = match self.is_pushed {
            false => names::PUSH,
            true => names::PULL_REQUEST,
        };
        let mut draft = self.child(seq, name, self.before_ms);
        draft.fail(kind.as_str());
        self.end(draft)
    }
}

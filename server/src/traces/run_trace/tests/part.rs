//! Runs made of events by hand, and what their spans hold.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::Status;
use pullwright_protocol::provider::{StopReason, TokenUsage};
use pullwright_protocol::{Event, LoggedEvent, Provenance, RunRequest, ToolView};
use serde_json::Value;

use super::super::*;

/// Made at [`BEGUN_MS`].
pub(super) const RUN: &str = "019d6ca1-c400-7000-8000-0123456789ab";
pub(super) const BEGUN_MS: u64 = 0x019d_6ca1_c400;

/// The part of a run that one server has.
pub(super) struct Part {
    pub(super) trace: RunTrace,
    pub(super) spans: Vec<SpanData>,
    pub(super) seq: u64,
}

impl Part {
    pub(super) fn after(seq: u64, at_ms: u64) -> Self {
        let run = RunId(RUN.to_owned());
        Self {
            trace: RunTrace::new(&run, Ids::of(&run), BEGUN_MS + at_ms),
            spans: Vec::new(),
            seq,
        }
    }

    /// At `at_ms` after the run began.
    pub(super) fn event(&mut self, at_ms: u64, event: Event) -> &mut Self {
        self.seq += 1;
        let logged = LoggedEvent {
            seq: self.seq,
            at_ms: BEGUN_MS + at_ms,
            event,
        };
        if let Some(step) = Step::of(&logged, false) {
            self.trace.take(step, &mut self.spans);
        }
        self
    }

    pub(super) fn named(&self, name: &str) -> &SpanData {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next();
        assert!(found.next().is_none(), "two spans are named {name}");
        span.unwrap_or_else(|| panic!("no span is named {name}: {:#?}", self.spans))
    }
}

pub(super) fn created() -> Event {
    Event::RunCreated {
        request: RunRequest::new("https://github.com/owner/repo", "Greet"),
    }
}

pub(super) fn stage(stage: Stage) -> Event {
    Event::Status {
        stage,
        message: "it goes on".to_owned(),
    }
}

pub(super) fn provenance() -> Provenance {
    Provenance {
        provider: "mine".to_owned(),
        wire: "anthropic_messages".to_owned(),
        model: "m-1".to_owned(),
        account: None,
    }
}

pub(super) fn asks() -> Event {
    Event::ConversationStarted {
        provenance: provenance(),
        limits: Default::default(),
        system: "Be good".to_owned(),
        tools: Vec::new(),
        beginning: Default::default(),
    }
}

pub(super) fn replied(duration_ms: u64) -> Event {
    Event::ModelReplied {
        stop: StopReason::ToolUse,
        usage: TokenUsage::default(),
        usd: None,
        duration_ms,
    }
}

pub(super) fn call_began(id: &str) -> Event {
    Event::ToolStarted {
        call_id: id.to_owned(),
        server: "fs".to_owned(),
        tool: id.to_owned(),
    }
}

pub(super) fn call_ended(id: &str, duration_ms: u64) -> Event {
    Event::ToolAnswered {
        call_id: id.to_owned(),
        server: "fs".to_owned(),
        tool: id.to_owned(),
        arguments: Value::Null,
        parts: Vec::new(),
        is_error: false,
        structured: None,
        view: ToolView::Plain,
        duration_ms,
    }
}

pub(super) fn error(kind: FailureKind, retrying: bool, attempt: u32) -> Event {
    Event::Error {
        kind,
        message: "it went wrong".to_owned(),
        retrying,
        attempt,
    }
}

pub(super) fn pushed() -> Event {
    Event::BranchPushed {
        branch: "pullwright/greet".to_owned(),
        commit: "c0ffee".to_owned(),
        fork: None,
        check_files: Vec::new(),
    }
}

pub(super) fn done(outcome: Outcome) -> Event {
    Event::Done {
        outcome,
        summary: "it is over".to_owned(),
        pr_url: None,
        branch: None,
        has_patch: false,
        usage: RunUsage::default(),
    }
}

pub(super) fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap() - Duration::from_millis(BEGUN_MS);
    u64::try_from(since.as_millis()).unwrap()
}

pub(super) fn times(span: &SpanData) -> (u64, u64) {
    (ms(span.start_time), ms(span.end_time))
}

pub(super) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span
        .attributes
        .iter()
        .find(|known| known.key.as_str() == key);
    found.map(|known| known.value.to_string())
}

pub(super) fn error_type(span: &SpanData) -> Option<String> {
    let error_type = attribute(span, names::ERROR_TYPE);
    assert_eq!(
        error_type.is_some(),
        matches!(span.status, Status::Error { .. })
    );
    error_type
}

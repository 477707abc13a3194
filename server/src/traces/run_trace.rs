//! The trace of one run, as its events make it: the run, its stages, and what happens within them.

mod effects;
mod tools;
mod turn;

use std::borrow::Cow;
use std::collections::HashMap;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId};
use opentelemetry_sdk::trace::SpanData;
use pullwright_protocol::{FailureKind, Outcome, RunId, RunUsage, Stage};
use serde_json::json;

use super::content::{Messages, Said};
use super::ids::Ids;
use super::names;
use super::span::{Draft, event, int};
use super::step::{Base, Failure, Step, What};
use turn::Turn;

/// What is open of a run. All in it is bounded: one stage, one turn, a few calls.
pub(super) struct RunTrace {
    ids: Ids,
    root: Draft,
    stage: Option<(Stage, Draft)>,
    turn: Turn,
    /// By the id of the call.
    calls: HashMap<String, Draft>,
    is_pushed: bool,
    /// When the latest step took place. It never goes back, so that no span ends before it starts.
    now_ms: u64,
    /// The same of the step before.
    before_ms: u64,
}

impl RunTrace {
    /// Of a run whose first step here took place at `at_ms`.
    pub(super) fn new(run: &RunId, ids: Ids, at_ms: u64) -> Self {
        let begun_ms = created_ms(run).unwrap_or(at_ms).min(at_ms);
        let root = Draft::new(ids.root(), SpanId::INVALID, names::ROOT, begun_ms)
            .with(names::OPERATION, "invoke_agent")
            .with(names::AGENT_NAME, names::AGENT)
            .with(names::AGENT_VERSION, env!("CARGO_PKG_VERSION"))
            .with(names::CONVERSATION, run.0.clone());
        Self {
            turn: Turn::new(run),
            ids,
            root,
            stage: None,
            calls: HashMap::new(),
            is_pushed: false,
            now_ms: begun_ms,
            before_ms: begun_ms,
        }
    }

    pub(super) fn link(&mut self, caller: SpanContext) {
        self.root.link(caller);
    }

    /// Takes in a step and adds the spans that are over with it.
    pub(super) fn take(&mut self, step: Step, spans: &mut Vec<SpanData>) {
        self.before_ms = self.now_ms;
        self.now_ms = self.now_ms.max(step.at_ms);
        if let What::Answered(answer) = step.what {
            return self.turn.answered(answer);
        }
        self.end_reply(spans);
        match step.what {
            What::Created { prompt } => self.created(prompt),
            What::IsIn(stage) => self.is_in(stage, step.seq, spans),
            What::Fetched(base) => self.fetched(base),
            What::Asks(asked) => self.asks(asked),
            What::StartedAnew(reset) => self.starts_anew(reset),
            What::Told(said) => self.turn.told(said, self.now_ms),
            What::Replied(reply) => self.replied(step.seq, &reply),
            What::Answered(_) => {}
            What::CallBegan(call) => self.call_began(step.seq, &call),
            What::CallEnded(end) => self.call_ended(step.seq, end, spans),
            What::Checked(check) => spans.push(self.checked(step.seq, check)),
            What::Pushed(push) => spans.push(self.pushed(step.seq, push)),
            What::Proposed { number, base } => spans.push(self.proposed(step.seq, number, base)),
            What::Happened(name, attributes) => self.happened(name, attributes),
            What::WentWrong(failure) => self.went_wrong(step.seq, failure, spans),
            What::Ended { outcome, usage } => self.ended(outcome, &usage, spans),
        }
    }

    /// Ends what is open here, except the run itself, which its next owner ends.
    pub(super) fn hand_on(mut self) -> Vec<SpanData> {
        let mut spans = Vec::new();
        self.end_reply(&mut spans);
        if let Some((_, stage)) = &mut self.stage {
            stage.set(names::HANDED_ON, true);
        }
        self.end_stage(&mut spans);
        spans
    }

    fn created(&mut self, prompt: Option<Said>) {
        let Some(prompt) = prompt else { return };
        let mut messages = Messages::default();
        messages.push(prompt);
        self.root
            .set_if_known(names::INPUT_MESSAGES, messages.input());
    }

    fn fetched(&mut self, base: Base) {
        self.root.set(names::REPOSITORY, base.url);
        self.root.set(names::BASE_NAME, base.branch);
        self.root.set(names::BASE_REVISION, base.commit);
    }

    fn is_in(&mut self, stage: Stage, seq: u64, spans: &mut Vec<SpanData>) {
        if self
            .stage
            .as_ref()
            .is_some_and(|(known, _)| *known == stage)
        {
            return;
        }
        self.end_stage(spans);
        let name = json!(stage).as_str().unwrap_or_default().to_owned();
        let draft = self
            .child(seq, format!("stage {name}"), self.now_ms)
            .with(names::STAGE, name);
        self.stage = Some((stage, draft));
    }

    /// Ends the stage and what is open in it.
    fn end_stage(&mut self, spans: &mut Vec<SpanData>) {
        self.interrupt_calls(spans);
        if let Some((_, stage)) = self.stage.take() {
            spans.push(self.end(stage));
        }
    }

    fn happened(&mut self, name: &'static str, attributes: Vec<KeyValue>) {
        let happened = event(name, self.now_ms, attributes);
        self.parent().happened(happened);
    }

    fn went_wrong(&mut self, seq: u64, failure: Failure, spans: &mut Vec<SpanData>) {
        let Failure {
            kind,
            retrying,
            attempt,
        } = failure;
        let attributes = vec![
            KeyValue::new(names::ERROR_TYPE, kind.as_str()),
            KeyValue::new(names::ATTEMPT, i64::from(attempt)),
        ];
        if self.turn.is_asking() && is_of_a_model(kind) {
            if retrying {
                let retry = event(names::RETRY, self.now_ms, attributes);
                return self.turn.failed_once(retry);
            }
            spans.push(self.unanswered(seq, kind));
        } else if !retrying && matches!(self.stage, Some((Stage::Publish, _))) {
            spans.push(self.not_published(seq, kind));
        } else {
            self.happened(names::ERROR, attributes);
        }
    }

    fn ended(&mut self, outcome: Outcome, usage: &RunUsage, spans: &mut Vec<SpanData>) {
        if let Outcome::Failed(kind) = outcome {
            self.root.fail(kind.as_str());
            if let Some((_, stage)) = &mut self.stage {
                stage.fail(kind.as_str());
            }
        }
        self.end_stage(spans);
        let root = &mut self.root;
        self.turn.describe(root);
        root.set(names::OUTCOME, outcome.to_string());
        if usage.input_tokens > 0 || usage.output_tokens > 0 {
            root.set(names::INPUT_TOKENS, int(usage.input_tokens));
            root.set(names::OUTPUT_TOKENS, int(usage.output_tokens));
            root.set(names::CACHE_READ_TOKENS, int(usage.cached_tokens));
        }
        root.set_if_known(names::USD, usage.usd);
        spans.push(self.end(self.root.clone()));
    }

    /// The innermost span that other spans are in.
    fn parent(&mut self) -> &mut Draft {
        match &mut self.stage {
            Some((_, stage)) => stage,
            None => &mut self.root,
        }
    }

    /// A span within the innermost one, that began at `started_ms` and not before it.
    fn child(&mut self, seq: u64, name: impl Into<Cow<'static, str>>, started_ms: u64) -> Draft {
        let (id, now_ms) = (self.ids.span(seq), self.now_ms);
        let parent = self.parent();
        let started_ms = started_ms.max(parent.started_ms()).min(now_ms);
        Draft::new(id, parent.id(), name, started_ms)
    }

    /// A span that is over now and took `time_ms`.
    fn child_of_length(
        &mut self,
        seq: u64,
        name: impl Into<Cow<'static, str>>,
        time_ms: u64,
    ) -> Draft {
        let started_ms = self.now_ms.saturating_sub(time_ms);
        self.child(seq, name, started_ms)
    }

    fn end(&self, draft: Draft) -> SpanData {
        draft.end(self.ids.trace(), self.now_ms)
    }
}

/// When a run was created: its id is a UUID that begins with the time, so all its owners agree.
fn created_ms(run: &RunId) -> Option<u64> {
    let (seconds, nanos) = uuid::Uuid::parse_str(&run.0)
        .ok()?
        .get_timestamp()?
        .to_unix();
    Some(seconds * 1000 + u64::from(nanos / 1_000_000))
}

/// Whether it is a model's call that ends like this.
fn is_of_a_model(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::ProviderAuth
            | FailureKind::ProviderBudget
            | FailureKind::ProviderRequest
            | FailureKind::RateLimited
            | FailureKind::Overloaded
            | FailureKind::Transport
            | FailureKind::ContextOverflow
            | FailureKind::ReasoningRejected
    )
}

#[cfg(test)]
mod tests;

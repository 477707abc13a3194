//! A model is asked and replies: the spans `chat`.

use opentelemetry::trace::Event;
use opentelemetry::{Array, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;
use pullwright_protocol::provider::StopReason;
use pullwright_protocol::{FailureKind, Provenance, RunId};

use super::super::content::{Messages, Said};
use super::super::names;
use super::super::span::{Draft, int, short};
use super::super::step::{self, Answer, Asked, Reset};
use super::RunTrace;

/// The most failed attempts that are kept of one call.
const MAX_RETRIES: usize = 32;

/// What stands between two replies, and the model that gives them.
pub(super) struct Turn {
    run: RunId,
    model: Option<Model>,
    system: Option<String>,
    /// Since when a reply is waited for; nothing where none is.
    asked_ms: Option<u64>,
    retries: Vec<Event>,
    is_compacted: bool,
    /// What was said since the last reply.
    input: Messages,
    /// A reply whose items may still follow.
    reply: Option<Reply>,
}

struct Model {
    provider: String,
    row: String,
    name: String,
}

struct Reply {
    draft: Draft,
    finish_reason: &'static str,
    output: Messages,
    ended_ms: u64,
}

impl Turn {
    pub(super) fn new(run: &RunId) -> Self {
        Self {
            run: run.clone(),
            model: None,
            system: None,
            asked_ms: None,
            retries: Vec::new(),
            is_compacted: false,
            input: Messages::default(),
            reply: None,
        }
    }

    pub(super) fn is_asking(&self) -> bool {
        self.asked_ms.is_some()
    }

    fn asks(&mut self, asked: Asked, now_ms: u64) {
        self.model = Some(Model::of(&asked.provenance));
        if asked.system.is_some() {
            self.system = asked.system;
        }
        self.asked_ms = Some(now_ms);
    }

    pub(super) fn told(&mut self, said: Vec<Said>, now_ms: u64) {
        for said in said {
            self.input.push(said);
        }
        self.asked_ms = Some(now_ms);
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        let Some(mut reply) = self.reply.take() else {
            return;
        };
        for said in answer.said {
            reply.output.push(said);
        }
        if let (None, Some(provenance)) = (&self.model, answer.provenance) {
            // The conversation started at an earlier owner of the run.
            self.model = Some(Model::of(&provenance));
            reply.draft.rename(self.span_name());
            self.describe(&mut reply.draft);
        }
        self.reply = Some(reply);
    }

    pub(super) fn failed_once(&mut self, retry: Event) {
        if self.retries.len() < MAX_RETRIES {
            self.retries.push(retry);
        }
    }

    /// Says of a span which model it is about.
    pub(super) fn describe(&self, draft: &mut Draft) {
        let Some(model) = &self.model else { return };
        draft.set(names::PROVIDER, model.provider.clone());
        draft.set(names::REQUEST_MODEL, model.name.clone());
        draft.set(names::PROVIDER_ROW, model.row.clone());
    }

    fn span_name(&self) -> String {
        match &self.model {
            Some(model) => format!("{} {}", names::CHAT, model.name),
            None => names::CHAT.to_owned(),
        }
    }
}

impl Model {
    fn of(provenance: &Provenance) -> Self {
        Self {
            provider: short(&names::provider(&provenance.provider, &provenance.wire)),
            row: short(&provenance.provider),
            name: short(&provenance.model),
        }
    }
}

impl RunTrace {
    pub(super) fn asks(&mut self, asked: Asked) {
        self.turn.asks(asked, self.now_ms);
        self.turn.describe(&mut self.root);
    }

    pub(super) fn starts_anew(&mut self, reset: Reset) {
        self.happened("pullwright.conversation_reset", reset.attributes);
        self.turn.is_compacted |= reset.is_compacted;
        self.turn.input = Messages::default();
        self.turn.told(reset.said, self.now_ms);
    }

    pub(super) fn replied(&mut self, seq: u64, reply: &step::Reply) {
        let usage = &reply.usage;
        let finish_reason = finish_reason(reply.stop);
        let mut draft = self.chat(seq, reply.time_ms, finish_reason);
        if usage.input_tokens > 0 || usage.output_tokens > 0 {
            draft.set(names::INPUT_TOKENS, int(usage.input_tokens));
            draft.set(names::OUTPUT_TOKENS, int(usage.output_tokens));
            draft.set(names::CACHE_READ_TOKENS, int(usage.cached_tokens));
            draft.set(names::CACHE_WRITE_TOKENS, int(usage.cache_write_tokens));
        }
        draft.set_if_known(names::USD, reply.usd);
        self.turn.reply = Some(Reply {
            draft,
            finish_reason,
            output: Messages::default(),
            ended_ms: self.now_ms,
        });
    }

    /// A call that no attempt has answered.
    pub(super) fn unanswered(&mut self, seq: u64, kind: FailureKind) -> SpanData {
        let since_ms = self.turn.asked_ms.unwrap_or(self.now_ms);
        let time_ms = self.now_ms.saturating_sub(since_ms);
        let mut draft = self.chat(seq, time_ms, "error");
        draft.fail(kind.as_str());
        self.end(draft)
    }

    /// Ends a reply whose items are all there.
    pub(super) fn end_reply(&mut self, spans: &mut Vec<SpanData>) {
        let Some(mut reply) = self.turn.reply.take() else {
            return;
        };
        let output = reply.output.output(reply.finish_reason);
        reply.draft.set_if_known(names::OUTPUT_MESSAGES, output);
        spans.push(reply.draft.end(self.ids.trace(), reply.ended_ms));
    }

    /// The span of a call that is over now. One that was tried again began with its first attempt; of any
    /// other it is known how long it took.
    fn chat(&mut self, seq: u64, time_ms: u64, finish_reason: &'static str) -> Draft {
        let name = self.turn.span_name();
        let retries = std::mem::take(&mut self.turn.retries);
        let asked_ms = self.turn.asked_ms.take();
        let mut draft = match asked_ms {
            Some(asked_ms) if !retries.is_empty() => self.child(seq, name, asked_ms),
            _ => self.child_of_length(seq, name, time_ms),
        }
        .of_a_client()
        .with(names::OPERATION, names::CHAT)
        .with(names::CONVERSATION, self.turn.run.0.clone())
        .with(names::REQUEST_STREAM, true)
        .with(names::FINISH_REASONS, one(finish_reason));
        self.turn.describe(&mut draft);
        if std::mem::take(&mut self.turn.is_compacted) {
            draft.set(names::COMPACTED, true);
        }
        draft.set_if_known(names::SYSTEM_INSTRUCTIONS, self.turn.system.clone());
        let input = std::mem::take(&mut self.turn.input);
        draft.set_if_known(names::INPUT_MESSAGES, input.input());
        retries.into_iter().for_each(|retry| draft.happened(retry));
        draft
    }
}

/// Why a model stopped, in the words of the conventions where they have one.
fn finish_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn => "stop",
        StopReason::ToolUse => "tool_call",
        StopReason::MaxTokens | StopReason::ContextOverflow => "length",
        StopReason::Refusal => "content_filter",
        StopReason::Pause => "pause",
        StopReason::Other => "other",
    }
}

fn one(text: &'static str) -> Value {
    Value::Array(Array::String(vec![StringValue::from(text)]))
}

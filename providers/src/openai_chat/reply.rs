//! A reply put together from the events of its stream.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError, StopReason, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item, Native, Provenance, RawJson};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};

use super::calls::Calls;
use super::content::{ContentReader, Piece};
use super::event::{self, Choice, Chunk};
use super::reasoning::{Form, Reasoning};
use crate::call_ids::CallIds;
use crate::exchange::{ReplyParser, cut_off, senseless};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::openai::error;
use crate::sse::SseParser;

/// The last event.
const DONE: &[u8] = b"[DONE]";

/// Takes the bytes of one stream, and gives the deltas and items they make.
///
/// The API knows one message per reply, with its reasoning, its text and its calls each in one
/// place, so the items are given when it ends.
#[derive(Clone, Debug)]
pub struct ChatReply {
    provenance: Provenance,
    key_source: String,
    context_tokens: Option<u64>,
    events: SseParser,
    choice: Option<u64>,
    content: ContentReader,
    reasoning: Reasoning,
    text: String,
    refused: bool,
    others: Vec<RawJson>,
    calls: Calls,
    usage: TokenUsage,
    reason: Option<String>,
    done: bool,
}

/// What the service's own tools did, and where the text comes from.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Other<'a> {
    ExecutedTools(&'a RawValue),
    Annotations(&'a RawValue),
}

impl ChatReply {
    /// An empty reply to `items`, whose items will be marked with `provenance`, by a model whose
    /// context has room for `context_tokens`, if that is known.
    #[must_use]
    pub fn new(
        provenance: Provenance,
        key_source: String,
        context_tokens: Option<u64>,
        items: &[Arc<Item>],
    ) -> Self {
        Self {
            provenance,
            key_source,
            context_tokens,
            events: SseParser::default(),
            choice: None,
            content: ContentReader::default(),
            reasoning: Reasoning::default(),
            text: String::new(),
            refused: false,
            others: Vec::new(),
            calls: Calls::new(CallIds::after(items)),
            usage: TokenUsage::default(),
            reason: None,
            done: false,
        }
    }

    /// Takes the next bytes of the stream. Deltas go to `out`, also before an error.
    ///
    /// # Errors
    /// What the API says went wrong, or that an event makes no sense.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut events = Vec::new();
        let parsed = self.events.push(bytes, |event| events.push(event));
        for event in events {
            self.take(&event, out)?;
        }
        parsed.map_err(|error| transport_error(format!("{}: {error}", self.provenance.provider)))
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// When the stream was cut off, or its last event is an error.
    pub fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        self.take_last_event(out)?;
        if !self.is_complete() {
            return Err(cut_off(&self.provenance.provider));
        }
        if let Some(piece) = self.content.end() {
            self.take_piece(piece, out);
        }
        let finish = self.finish()?;
        self.give_items(out);
        Ok(finish)
    }

    /// Some services say how the reply ended, some only that it did.
    fn is_complete(&self) -> bool {
        self.reason.is_some() || self.done
    }

    /// The last event may lack its blank line; half of one is none.
    fn take_last_event(&mut self, out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut last = Vec::new();
        let parsed = self.events.push(b"\n\n", |event| last.push(event));
        for event in last {
            let is_whole = event == DONE || serde_json::from_slice::<IgnoredAny>(&event).is_ok();
            if parsed.is_ok() && is_whole {
                self.take(&event, out)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if event == DONE {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk<'_> =
            serde_json::from_slice(event).map_err(|error| self.senseless(&error))?;
        for choice in chunk.choices.iter().flatten() {
            self.take_choice(choice, out)?;
        }
        let beside = chunk.x_groq.as_ref().and_then(|beside| beside.usage);
        if let Some(usage) = chunk.usage.or(beside) {
            self.usage = usage.into();
            out.push(Delta::Usage { usage: self.usage });
        }
        if chunk.is_error() {
            let provider = &self.provenance.provider;
            return Err(error::in_stream(event, provider, &self.key_source));
        }
        Ok(())
    }

    /// One answer is asked for: the first that comes counts.
    fn take_choice(
        &mut self,
        choice: &Choice<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ProviderError> {
        if let Some(index) = choice.index
            && *self.choice.get_or_insert(index) != index
        {
            return Ok(());
        }
        if let Some(delta) = &choice.delta {
            self.take_reasoning(delta, out);
            self.take_delta(delta, out)
                .map_err(|error| self.senseless(&error))?;
        }
        if let Some(reason) = choice
            .finish_reason
            .as_ref()
            .filter(|text| !text.is_empty())
        {
            self.reason = Some(reason.clone());
        }
        Ok(())
    }

    /// Some services send the same words under several keys.
    fn take_reasoning(&mut self, delta: &event::Delta<'_>, out: &mut Vec<Delta>) {
        let of_details: String = delta
            .reasoning_details
            .iter()
            .flatten()
            .map(|detail| self.reasoning.push_detail(detail.clone()))
            .collect();
        let fields = [
            (Form::ReasoningContent, delta.reasoning_content.as_deref()),
            (Form::Reasoning, delta.reasoning.as_deref()),
            (Form::Reasoning, Some(of_details.as_str())),
        ];
        let mut said = fields
            .into_iter()
            .filter_map(|(form, text)| Some((form, text.filter(|text| !text.is_empty())?)));
        if let Some((form, text)) = said.next() {
            self.give_reasoning(form, text, out);
        }
    }

    fn take_delta(
        &mut self,
        delta: &event::Delta<'_>,
        out: &mut Vec<Delta>,
    ) -> serde_json::Result<()> {
        for piece in delta
            .content
            .map_or(Ok(Vec::new()), |raw| self.content.take(raw))?
        {
            self.take_piece(piece, out);
        }
        if let Some(text) = delta.refusal.as_ref().filter(|text| !text.is_empty()) {
            self.refused = true;
            self.take_piece(Piece::Text(text.clone()), out);
        }
        for call in delta.tool_calls.iter().flatten() {
            self.calls.take(call, out)?;
        }
        let others = [
            delta.executed_tools.map(Other::ExecutedTools),
            delta.annotations.map(Other::Annotations),
        ];
        for other in others.into_iter().flatten() {
            self.others.push(to_raw_value(&other)?.into());
        }
        Ok(())
    }

    fn take_piece(&mut self, piece: Piece, out: &mut Vec<Delta>) {
        match piece {
            Piece::Text(delta) if delta.is_empty() => {}
            Piece::Text(delta) => {
                self.text.push_str(&delta);
                out.push(Delta::Text { delta });
            }
            Piece::Part(text) => self.give_reasoning(Form::Part, &text, out),
            Piece::Inline(text) => self.give_reasoning(Form::Inline, &text, out),
            Piece::Tag(tag) => self.reasoning.push_tag(&tag),
        }
    }

    fn give_reasoning(&mut self, form: Form, text: &str, out: &mut Vec<Delta>) {
        self.reasoning.push(form, text);
        let delta = text.to_owned();
        out.push(Delta::Reasoning { delta });
    }

    /// A service may break down after it has begun, and call that an end.
    fn finish(&self) -> Result<Finish, ProviderError> {
        let called = !self.calls.is_empty();
        let raw = self.reason.clone().unwrap_or_default();
        let stop = match raw.as_str() {
            _ if self.refused => StopReason::Refusal,
            "stop" | "eos" | "end_turn" | "" if called => StopReason::ToolUse,
            "stop" | "eos" | "end_turn" | "" => StopReason::EndTurn,
            "tool_calls" | "function_call" if called => StopReason::ToolUse,
            "tool_calls" | "function_call" => {
                return Err(self.broke_down(FailureKind::MalformedReply));
            }
            "length" if self.is_full() => StopReason::ContextOverflow,
            "length" => StopReason::MaxTokens,
            "model_length" | "model_context_window_exceeded" => StopReason::ContextOverflow,
            "content_filter" | "sensitive" => StopReason::Refusal,
            "insufficient_system_resource" => return Err(self.broke_down(FailureKind::Overloaded)),
            "error" | "network_error" | "abort" => {
                return Err(self.broke_down(FailureKind::Transport));
            }
            _ => StopReason::Other,
        };
        Ok(Finish { stop, raw })
    }

    fn broke_down(&self, kind: FailureKind) -> ProviderError {
        let provider = &self.provenance.provider;
        let reason = self.reason.as_deref().unwrap_or_default();
        ProviderError {
            kind,
            ..transport_error(format!("{provider}: the API ended the reply with {reason}"))
        }
    }

    /// Whether the reply stopped because the context has no more room.
    fn is_full(&self) -> bool {
        let used = self
            .usage
            .input_tokens
            .saturating_add(self.usage.output_tokens);
        self.context_tokens.is_some_and(|room| used >= room)
    }

    fn give_items(&mut self, out: &mut Vec<Delta>) {
        if let Some((text, native)) = std::mem::take(&mut self.reasoning).finish() {
            self.give(Content::Reasoning { text }, native, out);
        }
        for other in std::mem::take(&mut self.others) {
            self.give(Content::Opaque, Some(other), out);
        }
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            let native = to_raw_value(&serde_json::json!({ "content": text }));
            let native = native.ok().map(RawJson::from);
            self.give(Content::Text { text }, native, out);
        }
        for (call, native) in self.calls.finish() {
            self.give(Content::ToolCall(call), native, out);
        }
    }

    fn give(&self, content: Content, json: Option<RawJson>, out: &mut Vec<Delta>) {
        let native = json.map(|json| Native {
            provenance: self.provenance.clone(),
            json,
        });
        out.push(Delta::Item {
            item: Item { content, native },
        });
    }

    fn senseless(&self, error: &serde_json::Error) -> ProviderError {
        senseless(&self.provenance.provider, error)
    }
}

impl ReplyParser for ChatReply {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        Self::push(self, bytes, out)
    }

    fn is_complete(&self) -> bool {
        self.done
    }

    fn is_enough(&self) -> bool {
        Self::is_complete(self)
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        error::in_stream(body, &self.provenance.provider, &self.key_source)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        Self::end(self, out)
    }
}

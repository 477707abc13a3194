//! A reply put together from the events of its stream.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError, TokenUsage};
use pullwright_protocol::{Content, Item, Native, Provenance, RawJson, ToolCall};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};

use super::call::StreamedCall;
use super::end::End;
use super::error;
use super::event::{Candidate, Chunk, FunctionCall, Part, PlainText, Usage};
use crate::call_ids::CallIds;
use crate::exchange::{ReplyParser, cut_off, senseless};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::sse::SseParser;

/// Gateways that speak several formats end every stream with it.
const GATEWAYS_LAST_EVENT: &[u8] = b"[DONE]";

/// Takes the bytes of one stream, and gives the deltas and items they make.
///
/// Every part becomes an item with the part's own bytes, and so keeps its signature and its place;
/// only pieces of running text, which carry nothing else, are joined.
#[derive(Clone, Debug)]
pub struct GeminiReply {
    provenance: Provenance,
    key_source: String,
    events: SseParser,
    ids: CallIds,
    text: Option<OpenText>,
    call: Option<StreamedCall>,
    usage: Usage,
    started: bool,
    called: bool,
    /// The API runs code of the model, whose result must follow.
    code_runs: bool,
    end: Option<End>,
}

/// Running text whose end has not been seen.
#[derive(Clone, Debug, Serialize)]
struct OpenText {
    text: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
}

impl GeminiReply {
    /// An empty reply to `items`, whose items will be marked with `provenance`.
    #[must_use]
    pub fn new(provenance: Provenance, key_source: String, items: &[Arc<Item>]) -> Self {
        Self {
            provenance,
            key_source,
            events: SseParser::default(),
            ids: CallIds::after(items),
            text: None,
            call: None,
            usage: Usage::default(),
            started: false,
            called: false,
            code_runs: false,
            end: None,
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
        match self.end.take() {
            Some(end) if !self.code_runs => {
                self.close_text(out);
                self.close_call(false, out);
                Ok(end.into_finish(self.called))
            }
            _ => Err(cut_off(&self.provenance.provider)),
        }
    }

    /// The last event may lack its blank line; half of one is none.
    fn take_last_event(&mut self, out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut last = Vec::new();
        let parsed = self.events.push(b"\n\n", |event| last.push(event));
        for event in last {
            if parsed.is_err() || serde_json::from_slice::<IgnoredAny>(&event).is_err() {
                return Err(cut_off(&self.provenance.provider));
            }
            self.take(&event, out)?;
        }
        Ok(())
    }

    fn take(&mut self, event: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if event == GATEWAYS_LAST_EVENT {
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_slice(event)
            .map_err(|error| senseless(&self.provenance.provider, &error))?;
        if chunk.error.is_some() {
            return Err(self.refusal(event));
        }
        if !std::mem::replace(&mut self.started, true) {
            out.push(Delta::Started {
                request_id: chunk.response_id,
            });
        }
        if let Some(usage) = chunk.usage_metadata {
            self.usage.update(usage);
            out.push(Delta::Usage {
                usage: self.usage.into(),
            });
        }
        if let Some(feedback) = chunk.prompt_feedback {
            self.end = End::blocked(feedback).or(self.end.take());
        }
        // One answer is asked for, so the first candidate is the only one.
        match chunk.candidates.into_iter().flatten().next() {
            Some(candidate) => self.take_candidate(candidate, out),
            None => Ok(()),
        }
    }

    fn take_candidate(
        &mut self,
        candidate: Candidate<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ProviderError> {
        let parts = candidate.content.and_then(|content| content.parts);
        for part in parts.into_iter().flatten() {
            self.take_part(part, out)?;
        }
        if let Some(reason) = candidate.finish_reason {
            self.end = Some(End::said(reason, candidate.finish_message));
        }
        Ok(())
    }

    fn take_part(&mut self, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if let Ok(plain) = serde_json::from_str::<PlainText>(raw.get()) {
            self.take_text(plain, out);
            return Ok(());
        }
        let part: Part<'_> = serde_json::from_str(raw.get())
            .map_err(|error| senseless(&self.provenance.provider, &error))?;
        // What comes after an end shows that it was none.
        self.end = None;
        self.close_text(out);
        match (part.function_call, part.text) {
            (Some(call), _) => self.take_call(call, part.thought_signature, raw, out),
            (None, Some(text)) => {
                let thought = part.thought.unwrap_or_default();
                out.extend(text_delta(thought, &text));
                self.give(text_content(thought, text), Some(native(raw)), out);
            }
            (None, None) => {
                self.code_runs |= part.executable_code.is_some();
                self.code_runs &= part.code_execution_result.is_none();
                self.give(Content::Opaque, Some(native(raw)), out);
            }
        }
        Ok(())
    }

    fn take_text(&mut self, piece: PlainText, out: &mut Vec<Delta>) {
        if piece.text.is_empty() {
            return;
        }
        self.end = None;
        out.extend(text_delta(piece.thought, &piece.text));
        match &mut self.text {
            Some(open) if open.thought == piece.thought => open.text.push_str(&piece.text),
            _ => {
                self.close_text(out);
                self.text = Some(OpenText {
                    text: piece.text,
                    thought: piece.thought,
                });
            }
        }
    }

    fn take_call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<String>,
        raw: &RawValue,
        out: &mut Vec<Delta>,
    ) {
        let goes_on = call.will_continue.unwrap_or_default();
        let pieces = call.partial_args.unwrap_or_default();
        match call.name {
            Some(name) => {
                self.close_call(false, out);
                let call_id = self.ids.id(call.id.clone());
                self.called = true;
                out.push(Delta::ToolCallStarted {
                    call_id: call_id.clone(),
                    name: name.clone(),
                });
                if goes_on || !pieces.is_empty() {
                    self.call = Some(StreamedCall::new(call_id, call.id, name, signature));
                } else {
                    let arguments = call.args.map_or("{}", RawValue::get).to_owned();
                    let call = ToolCall {
                        call_id,
                        name,
                        arguments,
                    };
                    self.give_call(call, Some(native(raw)), out);
                    return;
                }
            }
            None if self.call.is_none() => {
                tracing::debug!("a piece of a tool call that is not open");
                return;
            }
            None => {}
        }
        if let Some(open) = &mut self.call {
            open.extend(pieces);
        }
        if !goes_on {
            self.close_call(true, out);
        }
    }

    fn close_text(&mut self, out: &mut Vec<Delta>) {
        if let Some(open) = self.text.take() {
            let native = to_raw_value(&open).ok().map(RawJson::from);
            self.give(text_content(open.thought, open.text), native, out);
        }
    }

    fn close_call(&mut self, complete: bool, out: &mut Vec<Delta>) {
        if let Some(open) = self.call.take() {
            let (call, native) = open.finish(complete);
            self.give_call(call, native, out);
        }
    }

    fn give_call(&self, call: ToolCall, native: Option<RawJson>, out: &mut Vec<Delta>) {
        out.push(Delta::ToolCallArguments {
            call_id: call.call_id.clone(),
            delta: call.arguments.clone(),
        });
        self.give(Content::ToolCall(call), native, out);
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
}

impl ReplyParser for GeminiReply {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        Self::push(self, bytes, out)
    }

    fn is_complete(&self) -> bool {
        self.end.is_some() && !self.code_runs
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        error::in_stream(body, &self.provenance.provider, &self.key_source)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        Self::end(self, out)
    }
}

fn native(raw: &RawValue) -> RawJson {
    RawJson::from(raw.to_owned())
}

/// A text without words is there for its signature, as withheld reasoning is.
fn text_content(thought: bool, text: String) -> Content {
    if thought || text.is_empty() {
        Content::Reasoning { text }
    } else {
        Content::Text { text }
    }
}

fn text_delta(thought: bool, text: &str) -> Option<Delta> {
    let delta = text.to_owned();
    match (thought, text) {
        (_, "") => None,
        (true, _) => Some(Delta::Reasoning { delta }),
        (false, _) => Some(Delta::Text { delta }),
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: sum(usage.prompt_token_count, usage.tool_use_prompt_token_count),
            cached_tokens: usage.cached_content_token_count.unwrap_or_default(),
            cache_write_tokens: 0,
            output_tokens: sum(usage.candidates_token_count, usage.thoughts_token_count),
        }
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> u64 {
    one.unwrap_or_default()
        .saturating_add(other.unwrap_or_default())
}

//! A reply put together from the lines of its stream.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, ProviderError, StopReason, TokenUsage};
use pullwright_protocol::{Content, Item, Native, Provenance, RawJson, ToolCall};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::error;
use super::event::{self, Line, Message};
use crate::call_ids::CallIds;
use crate::exchange::{Form, ReplyParser, cut_off, senseless};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::ndjson::LineParser;

/// Takes the bytes of one stream, and gives the deltas and items they make.
#[derive(Clone, Debug)]
pub struct OllamaReply {
    provenance: Provenance,
    context_tokens: u64,
    lines: LineParser,
    ids: CallIds,
    open: Option<Open>,
    usage: TokenUsage,
    called: bool,
    finish: Option<Finish>,
}

/// Text whose end has not been seen, under the key that the API has for it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Open {
    Thinking(String),
    Content(String),
}

impl OllamaReply {
    /// An empty reply to `items`, whose items will be marked with `provenance`, by a model whose
    /// context has room for `context_tokens`.
    #[must_use]
    pub fn new(provenance: Provenance, context_tokens: u64, items: &[Arc<Item>]) -> Self {
        Self {
            provenance,
            context_tokens,
            lines: LineParser::default(),
            ids: CallIds::after(items),
            open: None,
            usage: TokenUsage::default(),
            called: false,
            finish: None,
        }
    }

    /// Takes the next bytes of the stream. Deltas go to `out`, also before an error.
    ///
    /// # Errors
    /// What the server says went wrong, or that a line makes no sense.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut lines = Vec::new();
        let parsed = self.lines.push(bytes, |line| lines.push(line.to_vec()));
        for line in lines {
            self.take(&line, out)?;
        }
        parsed.map_err(|error| transport_error(format!("{}: {error}", self.provenance.provider)))
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// When the stream was cut off, or its last line is an error.
    pub fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        let mut last = None;
        self.lines.end(|line| last = Some(line.to_vec()));
        if let Some(line) = last.filter(|line| serde_json::from_slice::<Line<'_>>(line).is_ok()) {
            self.take(&line, out)?;
        }
        let finish = self.finish.take();
        finish.ok_or_else(|| cut_off(&self.provenance.provider))
    }

    fn take(&mut self, line: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if self.finish.is_some() {
            return Ok(());
        }
        let json = line;
        let line: Line<'_> = serde_json::from_slice(json)
            .map_err(|error| senseless(&self.provenance.provider, &error))?;
        if line.error.is_some() {
            return Err(self.refusal(json));
        }
        if let Some(message) = line.message {
            self.take_message(message, out)?;
        }
        self.count(line.prompt_eval_count, line.eval_count, out);
        if line.done.unwrap_or_default() {
            self.close(out);
            self.finish = Some(self.finished(line.done_reason));
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        message: Message<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ProviderError> {
        if let Some(delta) = message.thinking.filter(|text| !text.is_empty()) {
            match &mut self.open {
                Some(Open::Thinking(text)) => text.push_str(&delta),
                _ => self.open(Open::Thinking(delta.clone()), out),
            }
            out.push(Delta::Reasoning { delta });
        }
        if let Some(delta) = message.content.filter(|text| !text.is_empty()) {
            match &mut self.open {
                Some(Open::Content(text)) => text.push_str(&delta),
                _ => self.open(Open::Content(delta.clone()), out),
            }
            out.push(Delta::Text { delta });
        }
        for call in message.tool_calls.into_iter().flatten() {
            self.take_call(call, out)?;
        }
        Ok(())
    }

    fn take_call(&mut self, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let call: event::ToolCall<'_> = serde_json::from_str(raw.get())
            .map_err(|error| senseless(&self.provenance.provider, &error))?;
        self.close(out);
        self.called = true;
        let call = ToolCall {
            call_id: self.ids.id(call.id),
            name: call.function.name,
            arguments: call
                .function
                .arguments
                .map_or("{}", RawValue::get)
                .to_owned(),
        };
        out.push(Delta::ToolCallStarted {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
        });
        out.push(Delta::ToolCallArguments {
            call_id: call.call_id.clone(),
            delta: call.arguments.clone(),
        });
        let native = Some(RawJson::from(raw.to_owned()));
        self.give(Content::ToolCall(call), native, out);
        Ok(())
    }

    fn open(&mut self, text: Open, out: &mut Vec<Delta>) {
        self.close(out);
        self.open = Some(text);
    }

    fn close(&mut self, out: &mut Vec<Delta>) {
        let Some(open) = self.open.take() else { return };
        let native = to_raw_value(&open).ok().map(RawJson::from);
        let content = match open {
            Open::Thinking(text) => Content::Reasoning { text },
            Open::Content(text) => Content::Text { text },
        };
        self.give(content, native, out);
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

    fn count(&mut self, prompt: Option<u64>, reply: Option<u64>, out: &mut Vec<Delta>) {
        if prompt.is_none() && reply.is_none() {
            return;
        }
        self.usage.input_tokens = prompt.unwrap_or(self.usage.input_tokens);
        self.usage.output_tokens = reply.unwrap_or(self.usage.output_tokens);
        out.push(Delta::Usage { usage: self.usage });
    }

    /// The API calls it a normal stop when the model waits for tools. Old servers give no reason.
    fn finished(&self, reason: Option<String>) -> Finish {
        let raw = reason.unwrap_or_else(|| "done".to_owned());
        let stop = match raw.as_str() {
            "stop" | "done" if self.called => StopReason::ToolUse,
            "stop" | "done" => StopReason::EndTurn,
            "length" if self.is_full() => StopReason::ContextOverflow,
            "length" => StopReason::MaxTokens,
            _ => StopReason::Other,
        };
        Finish { stop, raw }
    }

    /// Whether the reply stopped because the context has no more room.
    fn is_full(&self) -> bool {
        let used = self
            .usage
            .input_tokens
            .saturating_add(self.usage.output_tokens);
        used >= self.context_tokens
    }
}

impl ReplyParser for OllamaReply {
    const FORM: Form = Form::Lines;

    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        Self::push(self, bytes, out)
    }

    fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        error::in_stream(body, &self.provenance.provider)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        Self::end(self, out)
    }
}

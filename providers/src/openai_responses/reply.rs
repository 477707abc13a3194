//! A reply put together from the events of its stream.

use std::collections::HashMap;

use pullwright_protocol::provider::{Delta, ProviderError, StopReason};
use pullwright_protocol::{Content, Item, Native, Provenance, RawJson};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::event::{AddedItem, Event, OutputItem, Response};
use super::missing::missing;
use super::output::{BETWEEN_PARTS, content};
use crate::exchange::{ReplyParser, cut_off, senseless};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::openai::error;
use crate::sse::SseParser;
use crate::transformations;

/// What gateways end every stream with.
const DONE: &[u8] = b"[DONE]";

/// Takes the bytes of one stream, and gives the deltas and items they make.
///
/// An item counts when it is done: what it is at its beginning may change until then. Items are given
/// at the end, in the order in which the model made them.
#[derive(Clone, Debug)]
pub struct ResponsesReply {
    provenance: Provenance,
    key_source: String,
    events: SseParser,
    /// The calls that have begun, by their place in the output.
    calls: HashMap<Option<u64>, OpenCall>,
    items: Vec<(u64, Item)>,
    refused: bool,
    notices: Vec<String>,
    finish: Option<Finish>,
}

#[derive(Clone, Debug)]
struct OpenCall {
    call_id: String,
    /// Whether a piece of its arguments was shown.
    is_shown: bool,
}

impl ResponsesReply {
    /// An empty reply whose items will be marked with `provenance`.
    #[must_use]
    pub fn new(provenance: Provenance, key_source: String) -> Self {
        Self {
            provenance,
            key_source,
            events: SseParser::default(),
            calls: HashMap::new(),
            items: Vec::new(),
            refused: false,
            notices: Vec::new(),
            finish: None,
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
        let finish = self.finish.take();
        let finish = finish.ok_or_else(|| cut_off(&self.provenance.provider))?;
        self.items.sort_by_key(|(place, _)| *place);
        let items = std::mem::take(&mut self.items);
        out.extend(items.into_iter().map(|(_, item)| Delta::Item { item }));
        Ok(finish)
    }

    /// The last event may lack its blank line; half of one is none.
    fn take_last_event(&mut self, out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut last = Vec::new();
        let parsed = self.events.push(b"\n\n", |event| last.push(event));
        for event in last {
            if parsed.is_ok() && serde_json::from_slice::<IgnoredAny>(&event).is_ok() {
                self.take(&event, out)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, json: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if json == DONE || self.finish.is_some() {
            return Ok(());
        }
        let event: Event<'_> =
            serde_json::from_slice(json).map_err(|error| self.senseless(&error))?;
        match &*event.kind {
            "error" => return Err(self.broken_off(json)),
            "response.failed" => return Err(self.failed(&event, out)),
            _ => self.take_event(&event, out),
        }
        .map_err(|error| self.senseless(&error))
    }

    fn take_event(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> serde_json::Result<()> {
        match &*event.kind {
            "response.output_item.added" => self.begin_item(event, out),
            "response.output_item.done" => self.end_item(event, out)?,
            "response.output_text.delta" => out.push(Delta::Text {
                delta: text(event)?,
            }),
            "response.refusal.delta" => {
                self.refused = true;
                out.push(Delta::Text {
                    delta: text(event)?,
                });
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                // The item holds it as well.
                let delta = text(event).unwrap_or_default();
                out.push(Delta::Reasoning { delta });
            }
            "response.reasoning_summary_part.added" if event.summary_index > Some(0) => {
                let delta = BETWEEN_PARTS.to_owned();
                out.push(Delta::Reasoning { delta });
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.take_arguments(event, out)?;
            }
            "response.completed" => self.complete(event, out)?,
            "response.incomplete" => self.be_incomplete(event, out)?,
            _ => {}
        }
        Ok(())
    }

    /// Shows that a call begins; what it is says the item when it is done.
    fn begin_item(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) {
        let item = event.item.map(RawValue::get).map(serde_json::from_str);
        let Some(Ok(AddedItem {
            kind,
            call_id,
            name,
        })) = item
        else {
            return;
        };
        let is_call = matches!(kind.as_str(), "function_call" | "custom_tool_call");
        if let (true, Some(call_id), Some(name)) = (is_call, call_id, name) {
            let open = OpenCall {
                call_id: call_id.clone(),
                is_shown: false,
            };
            self.calls.insert(event.output_index, open);
            out.push(Delta::ToolCallStarted { call_id, name });
        }
    }

    fn take_arguments(
        &mut self,
        event: &Event<'_>,
        out: &mut Vec<Delta>,
    ) -> serde_json::Result<()> {
        let Some(open) = self.calls.get_mut(&event.output_index) else {
            return Ok(());
        };
        let delta = text(event)?;
        open.is_shown |= !delta.is_empty();
        out.push(Delta::ToolCallArguments {
            call_id: open.call_id.clone(),
            delta,
        });
        Ok(())
    }

    fn end_item(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> serde_json::Result<()> {
        let Some(item) = event.item else {
            return Ok(());
        };
        let place = event.output_index.unwrap_or(self.items.len() as u64);
        self.add_item(place, item, out)
    }

    fn add_item(
        &mut self,
        place: u64,
        raw: &RawValue,
        out: &mut Vec<Delta>,
    ) -> serde_json::Result<()> {
        let item: OutputItem = serde_json::from_str(raw.get())?;
        self.refused |= item.is_refusal();
        let content = content(item);
        if let Content::ToolCall(call) = &content {
            self.show_call(place, &call.call_id, &call.name, &call.arguments, out);
        }
        let native = Some(Native {
            provenance: self.provenance.clone(),
            json: RawJson::from(raw.to_owned()),
        });
        self.items.push((place, Item { content, native }));
        Ok(())
    }

    /// Some services send a call's arguments only with the whole of it.
    fn show_call(
        &mut self,
        place: u64,
        call_id: &str,
        name: &str,
        arguments: &str,
        out: &mut Vec<Delta>,
    ) {
        let open = self.calls.remove(&Some(place));
        let open = open.or_else(|| self.calls.remove(&None));
        if open.is_none() {
            out.push(Delta::ToolCallStarted {
                call_id: call_id.to_owned(),
                name: name.to_owned(),
            });
        }
        if !open.is_some_and(|open| open.is_shown) {
            out.push(Delta::ToolCallArguments {
                call_id: call_id.to_owned(),
                delta: arguments.to_owned(),
            });
        }
    }

    fn complete(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> serde_json::Result<()> {
        self.take_response(event, out)?;
        let called = |(_, item): &(u64, Item)| matches!(item.content, Content::ToolCall(_));
        let stop = if self.items.iter().any(called) {
            StopReason::ToolUse
        } else if self.refused {
            StopReason::Refusal
        } else {
            StopReason::EndTurn
        };
        self.finish = Some(Finish {
            stop,
            raw: "completed".to_owned(),
        });
        Ok(())
    }

    fn be_incomplete(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> serde_json::Result<()> {
        let reason = self.take_response(event, out)?.unwrap_or_default();
        let stop = match reason.as_str() {
            "max_output_tokens" => StopReason::MaxTokens,
            "content_filter" => StopReason::Refusal,
            "max_prompt_tokens" => StopReason::ContextOverflow,
            _ => StopReason::Other,
        };
        self.finish = Some(Finish {
            stop,
            raw: format!("incomplete: {reason}"),
        });
        Ok(())
    }

    /// What the response is at its end. Answers why it is incomplete.
    fn take_response(
        &mut self,
        event: &Event<'_>,
        out: &mut Vec<Delta>,
    ) -> serde_json::Result<Option<String>> {
        let Some(response) = event.response else {
            return Ok(None);
        };
        let response: Response<'_> = serde_json::from_str(response.get())?;
        if let Some(usage) = response.usage {
            out.push(Delta::Usage {
                usage: usage.into(),
            });
        }
        let transformed = response.input_transformations.unwrap_or_default();
        let notice = transformations::notice(&self.provenance.provider, &transformed);
        self.notices.extend(notice);
        if let Some(output) = response.output {
            self.add_missing(output, out)?;
        }
        Ok(response
            .incomplete_details
            .and_then(|details| details.reason))
    }

    /// Some services say some items, or all of them, at the end only.
    fn add_missing(&mut self, output: &RawValue, out: &mut Vec<Delta>) -> serde_json::Result<()> {
        let output: Vec<&RawValue> = match serde_json::from_str(output.get()) {
            Ok(output) => output,
            Err(_) if !self.items.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        // Without its place, an item is where it came.
        self.items.sort_by_key(|(place, _)| *place);
        let missing = missing(output, &self.items);
        if missing.items.is_empty() {
            return Ok(());
        }
        for ((place, _), at_the_end) in self.items.iter_mut().zip(missing.places) {
            *place = at_the_end;
        }
        let nothing_came = self.items.is_empty();
        for (place, item) in missing.items {
            match self.add_item(place, item, out) {
                Err(error) if nothing_came => return Err(error),
                // The reply is complete without it.
                Err(error) => tracing::debug!(%error, "an item at the end makes no sense"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn failed(&self, event: &Event<'_>, out: &mut Vec<Delta>) -> ProviderError {
        let response = event.response.map(|response| response.get());
        let response = response.and_then(|json| serde_json::from_str::<Response<'_>>(json).ok());
        // What failed has its price, too.
        let usage = response.as_ref().and_then(|response| response.usage);
        out.extend(usage.map(|usage| Delta::Usage {
            usage: usage.into(),
        }));
        match response.and_then(|response| response.error) {
            Some(error) => self.broken_off(error.get().as_bytes()),
            // The rest of the event repeats what we sent, and would be taken for the reason.
            None => self.broken_off(br#"{"message":"the response failed, without a reason"}"#),
        }
    }

    fn broken_off(&self, error: &[u8]) -> ProviderError {
        error::in_stream(error, &self.provenance.provider, &self.key_source)
    }

    fn senseless(&self, error: &serde_json::Error) -> ProviderError {
        senseless(&self.provenance.provider, error)
    }
}

impl ReplyParser for ResponsesReply {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        Self::push(self, bytes, out)
    }

    fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        self.broken_off(body)
    }

    fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        Self::end(self, out)
    }
}

fn text(event: &Event<'_>) -> serde_json::Result<String> {
    let delta = event.delta.map(RawValue::get);
    delta.map_or_else(|| Ok(String::new()), serde_json::from_str)
}

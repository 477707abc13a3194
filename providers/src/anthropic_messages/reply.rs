//! A reply put together from the events of its stream.

use pullwright_protocol::provider::{Delta, ProviderError, StopReason, TokenUsage};
use pullwright_protocol::{Content, Item, Native, Provenance, RawJson, ToolCall};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::block::NativeBlock;
use super::error;
use super::event::{
    BlockDelta, BlockStart, BlockStop, Kind, MessageDelta, MessageStart, Piece, StopDelta, Usage,
};
use super::message::COMPACTION_BLOCK;
use crate::http::transport_error;
use crate::kit::Finish;
use crate::transformations::{self, Transformation};

/// Takes the events of one stream, and gives the deltas and items they make.
#[derive(Debug)]
pub struct Reply {
    provenance: Provenance,
    key_source: String,
    open: Vec<OpenBlock>,
    usage: Usage,
    notices: Vec<String>,
    stop: Option<StopDelta>,
}

/// A block between its start and its stop.
#[derive(Debug)]
struct OpenBlock {
    index: u64,
    kind: String,
    native: NativeBlock,
    text: String,
    arguments: String,
    citations: Vec<serde_json::Value>,
    /// A piece of it was of a kind we do not know, so it cannot be sent back.
    incomplete: bool,
}

impl Reply {
    /// An empty reply whose items will be marked with `provenance`.
    #[must_use]
    pub fn new(provenance: Provenance, key_source: String) -> Self {
        Self {
            provenance,
            key_source,
            open: Vec::new(),
            usage: Usage::default(),
            notices: Vec::new(),
            stop: None,
        }
    }

    /// Takes the data of one event. Deltas go to `out`; the end of the reply is returned.
    ///
    /// # Errors
    /// What the API says went wrong, or that the event makes no sense.
    pub fn take(
        &mut self,
        data: &[u8],
        out: &mut Vec<Delta>,
    ) -> Result<Option<Finish>, ProviderError> {
        match self.decode(data)? {
            Kind::MessageStart => self.start(self.decode(data)?, out),
            Kind::ContentBlockStart => self.start_block(self.decode(data)?, out),
            Kind::ContentBlockDelta => self.extend_block(self.decode(data)?, out),
            Kind::ContentBlockStop => {
                let BlockStop { index } = self.decode(data)?;
                self.finish_blocks(|block| block.index == index, out);
            }
            Kind::MessageDelta => self.update(self.decode(data)?, out),
            Kind::MessageStop => return Ok(Some(self.finish(out))),
            Kind::Error => return Err(self.broken_off(data)),
            Kind::Other => {}
        }
        Ok(None)
    }

    fn decode<'a, T: Deserialize<'a>>(&self, data: &'a [u8]) -> Result<T, ProviderError> {
        serde_json::from_slice(data).map_err(|error| {
            transport_error(format!(
                "{}: an event of the stream makes no sense: {error}",
                self.provenance.provider
            ))
        })
    }

    /// The error for a reply that `error`, an event or a body, stands in the place of.
    pub(super) fn broken_off(&self, error: &[u8]) -> ProviderError {
        error::in_stream(error, &self.provenance.provider, &self.key_source)
    }

    /// A second start, as some gateways send it, ends what the first one left open.
    fn start(&mut self, start: MessageStart, out: &mut Vec<Delta>) {
        self.finish_blocks(|_| true, out);
        self.note(&start.message.input_transformations);
        self.count(start.message.usage, out);
    }

    fn start_block(&mut self, start: BlockStart, out: &mut Vec<Delta>) {
        self.finish_blocks(|block| block.index == start.index, out);
        let block = OpenBlock::new(start);
        if block.kind == "tool_use" {
            out.push(Delta::ToolCallStarted {
                call_id: block.native.text("id"),
                name: block.native.text("name"),
            });
        }
        out.extend(text_delta(&block.kind, block.text.clone()));
        self.open.push(block);
    }

    fn extend_block(&mut self, delta: BlockDelta, out: &mut Vec<Delta>) {
        let found = self
            .open
            .iter_mut()
            .find(|block| block.index == delta.index);
        match found {
            Some(block) => out.extend(block.extend(delta.delta)),
            None => tracing::debug!(index = delta.index, "a piece of a block that is not open"),
        }
    }

    fn finish_blocks(&mut self, which: impl Fn(&OpenBlock) -> bool, out: &mut Vec<Delta>) {
        while let Some(place) = self.open.iter().position(&which) {
            let block = self.open.remove(place);
            if block.is_failed_compaction() {
                continue;
            }
            let item = block.into_item(&self.provenance);
            out.push(Delta::Item { item });
        }
    }

    fn update(&mut self, update: MessageDelta, out: &mut Vec<Delta>) {
        if update.delta.stop_reason.is_some() {
            self.stop = Some(update.delta);
        }
        self.note(&update.input_transformations);
        self.count(update.usage, out);
    }

    fn note(&mut self, transformed: &[Transformation]) {
        let notice = transformations::notice(&self.provenance.provider, transformed);
        self.notices.extend(notice);
    }

    /// What people should know, as far as it was not told yet.
    pub(super) fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    fn count(&mut self, newer: Usage, out: &mut Vec<Delta>) {
        self.usage.update(newer);
        out.push(Delta::Usage {
            usage: self.usage.into(),
        });
    }

    fn finish(&mut self, out: &mut Vec<Delta>) -> Finish {
        self.finish_blocks(|_| true, out);
        match self.stop.take() {
            Some(stop) => stop.into(),
            None => Finish {
                stop: StopReason::Other,
                raw: "no reason given".to_owned(),
            },
        }
    }
}

impl OpenBlock {
    fn new(start: BlockStart) -> Self {
        let kind = start.content_block.text("type");
        let text = match kind.as_str() {
            "text" | "thinking" => start.content_block.text(&kind),
            _ => String::new(),
        };
        Self {
            index: start.index,
            kind,
            text,
            native: start.content_block,
            arguments: String::new(),
            citations: Vec::new(),
            incomplete: false,
        }
    }

    fn extend(&mut self, piece: Piece) -> Option<Delta> {
        match piece {
            Piece::TextDelta { text } | Piece::ThinkingDelta { thinking: text } => {
                self.text.push_str(&text);
                return text_delta(&self.kind, text);
            }
            Piece::InputJsonDelta { partial_json } => {
                self.arguments.push_str(&partial_json);
                return self.arguments_delta(partial_json);
            }
            Piece::SignatureDelta { signature } => self.native.set("signature", &signature),
            Piece::CitationsDelta { citation } => self.citations.push(citation),
            Piece::CompactionDelta {
                content,
                encrypted_content,
            } => {
                self.native.set("content", &content);
                if let Some(opaque) = encrypted_content {
                    self.native.set("encrypted_content", &opaque);
                }
            }
            Piece::Unknown => self.incomplete = true,
        }
        None
    }

    fn arguments_delta(&self, delta: String) -> Option<Delta> {
        (self.kind == "tool_use" && !delta.is_empty()).then(|| Delta::ToolCallArguments {
            call_id: self.native.text("id"),
            delta,
        })
    }

    /// A summary that failed stands for nothing.
    fn is_failed_compaction(&self) -> bool {
        self.kind == COMPACTION_BLOCK && self.native.text("content").is_empty()
    }

    fn into_item(mut self, provenance: &Provenance) -> Item {
        self.complete_native();
        let json = if self.incomplete {
            None
        } else {
            self.native.to_json()
        };
        let native = json.map(|json: RawJson| Native {
            provenance: provenance.clone(),
            json,
        });
        Item {
            content: self.into_content(),
            native,
        }
    }

    fn complete_native(&mut self) {
        if matches!(self.kind.as_str(), "text" | "thinking") {
            self.native.set(&self.kind, &self.text);
        }
        if !self.citations.is_empty() {
            self.native.set("citations", &self.citations);
        }
        if self.arguments.is_empty() {
            self.arguments = self
                .native
                .get("input")
                .map_or("{}", RawValue::get)
                .to_owned();
            return;
        }
        match RawValue::from_string(self.arguments.trim().to_owned()) {
            Ok(input) if input.get().starts_with('{') => self.native.set_raw("input", input),
            // The API takes back objects only; the neutral view keeps the text.
            _ => self.incomplete = true,
        }
    }

    fn into_content(self) -> Content {
        match self.kind.as_str() {
            "text" => Content::Text { text: self.text },
            "thinking" => Content::Reasoning { text: self.text },
            "redacted_thinking" => Content::Reasoning {
                text: String::new(),
            },
            "tool_use" => Content::ToolCall(ToolCall {
                call_id: self.native.text("id"),
                name: self.native.text("name"),
                arguments: self.arguments,
            }),
            _ => Content::Opaque,
        }
    }
}

fn text_delta(kind: &str, delta: String) -> Option<Delta> {
    match kind {
        _ if delta.is_empty() => None,
        "text" => Some(Delta::Text { delta }),
        "thinking" => Some(Delta::Reasoning { delta }),
        _ => None,
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let cached = usage.cache_read_input_tokens.unwrap_or_default();
        let written = usage.cache_creation_input_tokens.unwrap_or_default();
        Self {
            input_tokens: usage
                .input_tokens
                .unwrap_or_default()
                .saturating_add(cached)
                .saturating_add(written),
            cached_tokens: cached,
            cache_write_tokens: written,
            output_tokens: usage.output_tokens.unwrap_or_default(),
        }
    }
}

impl From<StopDelta> for Finish {
    fn from(stop: StopDelta) -> Self {
        let mut raw = stop.stop_reason.unwrap_or_default();
        let mapped = match raw.as_str() {
            "end_turn" | "stop_sequence" => StopReason::EndTurn,
            "tool_use" => StopReason::ToolUse,
            "max_tokens" => StopReason::MaxTokens,
            "pause_turn" | "compaction" => StopReason::Pause,
            "refusal" => StopReason::Refusal,
            "model_context_window_exceeded" => StopReason::ContextOverflow,
            _ => StopReason::Other,
        };
        if let Some(details) = stop.stop_details {
            for detail in [details.category, details.explanation]
                .into_iter()
                .flatten()
            {
                raw = format!("{raw}: {detail}");
            }
        }
        Self { stop: mapped, raw }
    }
}

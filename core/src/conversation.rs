//! The append-only conversation with one model.

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, Part, ToolSpec};

/// What was said so far. The system prompt and the tools are frozen when it starts, and items are
/// only ever appended: providers bind their reasoning to everything before it.
#[derive(Clone, Debug)]
pub struct Conversation {
    request: StreamRequest,
    bytes: u64,
}

impl Conversation {
    /// Starts a conversation.
    #[must_use]
    pub fn new(system: String, tools: Vec<ToolSpec>) -> Self {
        let tool_bytes = |tool: &ToolSpec| {
            tool.name.len() + tool.description.len() + tool.input_schema.as_str().len()
        };
        let bytes = system.len() + tools.iter().map(tool_bytes).sum::<usize>();
        Self {
            request: StreamRequest {
                system,
                tools,
                items: Vec::new(),
                max_output_tokens: None,
            },
            bytes: bytes as u64,
        }
    }

    /// Appends an item.
    pub fn push(&mut self, item: Item) {
        self.bytes += size_of_item(&item);
        self.request.items.push(item);
    }

    /// The request for the next reply.
    pub fn request(&mut self, max_output_tokens: u64) -> &StreamRequest {
        self.request.max_output_tokens = Some(max_output_tokens);
        &self.request
    }

    /// About how many bytes a request has, for the budget's estimate.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The system prompt.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.request.system
    }

    /// The tools.
    #[must_use]
    pub fn tools(&self) -> &[ToolSpec] {
        &self.request.tools
    }
}

fn size_of_item(item: &Item) -> u64 {
    let parts_size = |parts: &[Part]| -> usize {
        let size = |part: &Part| match part {
            Part::Text { text } => text.len(),
            Part::Image { data, .. } => data.len(),
        };
        parts.iter().map(size).sum()
    };
    let neutral = match &item.content {
        Content::User { parts } | Content::ToolResult { parts, .. } => parts_size(parts),
        Content::Text { text } | Content::Reasoning { text } => text.len(),
        Content::ToolCall(call) => call.name.len() + call.arguments.len(),
        Content::Opaque => 0,
    };
    let native = item
        .native
        .as_ref()
        .map(|native| native.json.as_str().len());
    native.unwrap_or(neutral) as u64
}

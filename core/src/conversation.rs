//! The append-only conversation with one model.

use pullwright_protocol::{Beginning, Content, FollowedConversation, Item, Part, ToolSpec};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// How many bytes make a token, taken low so that an estimate is not too small.
pub const BYTES_PER_TOKEN: u64 = 3;

/// What was said so far. The system prompt and the tools are frozen when it starts, and items are
/// only ever appended: providers bind their reasoning to everything before it. The one exception is
/// [`Conversation::anew`].
#[derive(Clone, Debug)]
pub struct Conversation {
    request: ConversationRequest,
    frozen_bytes: u64,
    bytes: u64,
    /// The size of an earlier request: its tokens, as the provider counted them, and its bytes.
    measured: Option<(u64, u64)>,
    /// How often it started anew without its reasoning.
    forgot: u32,
}

/// A [`StreamRequest`](pullwright_protocol::provider::StreamRequest) whose items are JSON already:
/// each is written once, and not once per turn.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationRequest {
    system: String,
    tools: Vec<ToolSpec>,
    items: Vec<Box<RawValue>>,
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compact: bool,
}

impl Conversation {
    /// Starts a conversation.
    #[must_use]
    pub fn new(system: String, tools: Vec<ToolSpec>) -> Self {
        let tool_bytes = |tool: &ToolSpec| {
            tool.name.len() + tool.description.len() + tool.input_schema.as_str().len()
        };
        let bytes = system.len() + tools.iter().map(tool_bytes).sum::<usize>();
        let frozen_bytes = bytes as u64;
        Self {
            request: ConversationRequest {
                system,
                tools,
                items: Vec::new(),
                max_output_tokens: None,
                compact: false,
            },
            frozen_bytes,
            bytes: frozen_bytes,
            measured: None,
            forgot: 0,
        }
    }

    /// Another one that starts with `items`: with the same system prompt and the same tools, and nothing
    /// of what was said in this one.
    #[must_use]
    pub fn anew(&self, items: &[Item]) -> Self {
        let mut anew = Self {
            request: ConversationRequest {
                system: self.request.system.clone(),
                tools: self.request.tools.clone(),
                items: Vec::new(),
                ..self.request
            },
            bytes: self.frozen_bytes,
            measured: None,
            ..*self
        };
        items.iter().for_each(|item| anew.push(item));
        anew
    }

    /// Another one that starts with what was said in the conversation of a run before.
    #[must_use]
    pub fn after(&self, before: &FollowedConversation, beginning: Beginning) -> Self {
        match beginning {
            Beginning::Empty => self.anew(&[]),
            Beginning::Followed => {
                let mut after = self.anew(&before.items);
                after.measured(before.tokens);
                after
            }
            Beginning::FollowedWithoutReasoning => {
                let items = before.items.iter().cloned().filter_map(without_reasoning);
                self.anew(&items.collect::<Vec<_>>())
            }
        }
    }

    /// Another one that says the same to any provider: without reasoning, and without what else binds it
    /// to its own. What has no other form than that stays as it is.
    #[must_use]
    pub fn without_reasoning(&self) -> Self {
        let items = self.items().into_iter().filter_map(without_reasoning);
        let anew = self.anew(&items.collect::<Vec<_>>());
        Self {
            forgot: self.forgot.saturating_add(1),
            ..anew
        }
    }

    /// How often it started anew [`without_reasoning`](Self::without_reasoning).
    #[must_use]
    pub fn forgot(&self) -> u32 {
        self.forgot
    }

    /// The items, read back.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let items = self.request.items.iter();
        let read = items.filter_map(|json| serde_json::from_str(json.get()).ok());
        read.collect()
    }

    /// Appends an item.
    pub fn push(&mut self, item: &Item) {
        self.bytes += size_of_item(item);
        // An item prints as JSON by construction, so there is nothing to refuse.
        let json = to_raw_value(item).unwrap_or_else(|_| RawValue::NULL.to_owned());
        self.request.items.push(json);
    }

    /// The request for the next reply.
    pub fn request(&mut self, max_output_tokens: u64) -> &ConversationRequest {
        self.request.max_output_tokens = Some(max_output_tokens);
        self.request.compact = false;
        &self.request
    }

    /// The request for a shorter conversation that says the same.
    pub fn compaction(&mut self, max_output_tokens: u64) -> &ConversationRequest {
        self.request(max_output_tokens);
        self.request.compact = true;
        &self.request
    }

    /// About how many bytes a request has, for the budget's estimate.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes that a request with everything said so far had so many tokens. A provider that does not
    /// count says none.
    pub fn measured(&mut self, tokens: u64) {
        if tokens > 0 {
            self.measured = Some((tokens, self.bytes));
        }
    }

    /// About how many tokens the next request has.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let (tokens, bytes) = self.measured.unwrap_or_default();
        tokens + (self.bytes - bytes) / BYTES_PER_TOKEN
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

/// About how many tokens items have.
#[must_use]
pub fn tokens_of(items: &[Item]) -> u64 {
    items.iter().map(size_of_item).sum::<u64>() / BYTES_PER_TOKEN
}

fn without_reasoning(item: Item) -> Option<Item> {
    match item.content {
        Content::Reasoning { .. } => None,
        Content::Opaque => Some(item),
        content => Some(Item::neutral(content)),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pullwright_protocol::provider::StreamRequest;
    use pullwright_protocol::{Native, Provenance, RawJson};

    use super::*;

    #[test]
    fn a_request_is_what_the_provider_protocol_says() {
        let items = [Item::user("\"hi\"\n"), Item::tool_result("1", "é", true)];
        let mut conversation = Conversation::new("be good".to_owned(), Vec::new());
        items.iter().for_each(|item| conversation.push(item));
        let expected = StreamRequest {
            system: "be good".to_owned(),
            tools: Vec::new(),
            items: items.map(Arc::new).to_vec(),
            max_output_tokens: Some(7),
            compact: true,
        };
        let ours = serde_json::to_string(conversation.compaction(7)).unwrap();
        assert_eq!(ours, serde_json::to_string(&expected).unwrap());
        let expected = StreamRequest {
            compact: false,
            ..expected
        };
        let ours = serde_json::to_string(conversation.request(7)).unwrap();
        assert_eq!(ours, serde_json::to_string(&expected).unwrap());
    }

    #[test]
    fn an_estimate_goes_on_from_what_the_provider_counted() {
        let mut conversation = Conversation::new("x".repeat(300), Vec::new());
        assert_eq!(conversation.tokens(), 100);
        conversation.measured(80);
        conversation.push(&Item::user("x".repeat(30)));
        assert_eq!(conversation.tokens(), 90);
        conversation.measured(0);
        assert_eq!(conversation.tokens(), 90);
    }

    #[test]
    fn one_without_reasoning_says_the_rest_to_any_provider() {
        let native = |content: &Content| Item {
            content: content.clone(),
            native: Some(Native {
                provenance: Provenance {
                    provider: "p".to_owned(),
                    wire: "w".to_owned(),
                    model: "m".to_owned(),
                    account: None,
                },
                json: RawJson::from(&serde_json::json!({ "signature": "s" })),
            }),
        };
        let text = |text: &str| text.to_owned();
        let reasoning = native(&Content::Reasoning { text: text("why") });
        let said = Content::Text { text: text("so") };
        let opaque = native(&Content::Opaque);
        let user = Item::user("task");
        let mut conversation = Conversation::new(String::new(), Vec::new());
        for item in [&user, &reasoning, &native(&said), &opaque] {
            conversation.push(item);
        }
        let anew = conversation.without_reasoning();
        assert_eq!(anew.items(), [user, Item::neutral(said), opaque]);
        assert_eq!(anew.anew(&[]).without_reasoning().forgot(), 2);
    }

    #[test]
    fn one_anew_keeps_what_is_frozen_and_nothing_else() {
        let mut conversation = Conversation::new("x".repeat(300), Vec::new());
        conversation.push(&Item::user("long ago"));
        conversation.measured(1_000_000);
        let anew = [Item::user("x".repeat(60))];
        let conversation = conversation.anew(&anew);
        assert_eq!(
            (conversation.items(), conversation.tokens()),
            (anew.to_vec(), 120)
        );
    }
}

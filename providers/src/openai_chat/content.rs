//! The text of a reply, out of which reasoning may have to be picked.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What models without a field for their reasoning put around it.
const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// A piece of a reply's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Reasoning that came as a part of the content.
    Part(String),
    /// Reasoning that came inside of the text.
    Inline(String),
    /// What stands around the latter.
    Tag(String),
}

/// Takes the content as it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct ContentReader {
    state: State,
    /// What may be the beginning of a tag.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Thinking,
    /// White space between the reasoning and the text belongs to neither.
    AfterThinking,
    Text,
}

impl ContentReader {
    /// What a piece of `content` holds: a text, or a list of parts.
    pub(super) fn take(&mut self, content: &RawValue) -> serde_json::Result<Vec<Piece>> {
        match content.get().as_bytes().first() {
            Some(b'"') => Ok(self.take_text(&serde_json::from_str::<String>(content.get())?)),
            Some(b'[') => {
                let parts: Vec<Part> = serde_json::from_str(content.get())?;
                Ok(parts.into_iter().filter_map(Part::into_piece).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Option<Piece> {
        let held = std::mem::take(&mut self.held);
        let piece = match self.state {
            State::Thinking => Piece::Inline(held),
            State::AfterThinking => Piece::Tag(held),
            State::Start | State::Text => Piece::Text(held),
        };
        (!piece.text().is_empty()).then_some(piece)
    }

    fn take_text(&mut self, text: &str) -> Vec<Piece> {
        let mut rest = std::mem::take(&mut self.held) + text;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = match self.state {
                State::Start => self.at_start(rest),
                State::Thinking => self.in_thinking(rest),
                State::AfterThinking => self.after_thinking(rest),
                State::Text => (Some(Piece::Text(rest)), String::new()),
            };
            pieces.extend(piece.filter(|piece| !piece.text().is_empty()));
            rest = after;
        }
        pieces
    }

    fn at_start(&mut self, text: String) -> (Option<Piece>, String) {
        let words = text.trim_start();
        let space = text.len() - words.len();
        if words.starts_with(THINK) {
            self.state = State::Thinking;
            let (tag, rest) = text.split_at(space + THINK.len());
            return (Some(Piece::Tag(tag.to_owned())), rest.to_owned());
        }
        if THINK.starts_with(words) {
            self.held = text;
            return (None, String::new());
        }
        self.state = State::Text;
        (None, text)
    }

    fn in_thinking(&mut self, text: String) -> (Option<Piece>, String) {
        if let Some(end) = text.find(THINK_END) {
            self.state = State::AfterThinking;
            let (thought, rest) = text.split_at(end);
            return (Some(Piece::Inline(thought.to_owned())), rest.to_owned());
        }
        let keep = partial_tag(&text);
        self.held = text[text.len() - keep..].to_owned();
        let thought = text[..text.len() - keep].to_owned();
        (Some(Piece::Inline(thought)), String::new())
    }

    fn after_thinking(&mut self, text: String) -> (Option<Piece>, String) {
        let tag = if text.starts_with(THINK_END) {
            THINK_END.len()
        } else {
            0
        };
        let words = text[tag..].trim_start();
        let (between, rest) = text.split_at(text.len() - words.len());
        if !rest.is_empty() {
            self.state = State::Text;
        }
        (Some(Piece::Tag(between.to_owned())), rest.to_owned())
    }
}

/// How many bytes at the end may be the beginning of the tag that ends the reasoning.
fn partial_tag(text: &str) -> usize {
    let lengths = (1..THINK_END.len()).rev();
    lengths
        .into_iter()
        .find(|length| text.ends_with(&THINK_END[..*length]))
        .unwrap_or_default()
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Part(text) | Self::Inline(text) | Self::Tag(text) => text,
        }
    }
}

/// A part of content that is a list. Kinds that hold no words are not for us.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text {
        text: String,
    },
    Thinking {
        thinking: Thinking,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Thinking {
    Text(String),
    Parts(Vec<ThinkingPart>),
}

#[derive(Debug, Deserialize)]
struct ThinkingPart {
    #[serde(default)]
    text: String,
}

impl Part {
    fn into_piece(self) -> Option<Piece> {
        match self {
            Self::Text { text } => Some(Piece::Text(text)),
            Self::Thinking {
                thinking: Thinking::Text(text),
            } => Some(Piece::Part(text)),
            Self::Thinking {
                thinking: Thinking::Parts(parts),
            } => Some(Piece::Part(
                parts.into_iter().map(|part| part.text).collect(),
            )),
            Self::Other => None,
        }
    }
}

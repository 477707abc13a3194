//! A conversation that the API made shorter: what the user said, and one item for all the rest, which
//! only the API can read.

use pullwright_protocol::provider::{Delta, ProviderError, StopReason};
use pullwright_protocol::{Content, Item, Native, Part, Provenance, RawJson};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Usage;
use crate::exchange::{Form, ReplyParser, cut_off, senseless};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::lenient::or_absent;
use crate::openai::error;

/// The most of an answer that is taken: it is shorter than the conversation, which fits a model.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Reads the answer, which comes in one piece of JSON.
pub(super) struct Compacted {
    provenance: Provenance,
    key_source: String,
    body: Vec<u8>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "or_absent")]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputItem {
    Message {
        content: Vec<InputPart>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct InputPart {
    #[serde(default)]
    text: String,
}

impl Compacted {
    pub(super) fn new(provenance: Provenance, key_source: String) -> Self {
        Self {
            provenance,
            key_source,
            body: Vec::new(),
        }
    }

    fn item(&self, raw: &RawValue) -> serde_json::Result<Item> {
        let content = match serde_json::from_str(raw.get())? {
            OutputItem::Message { content } => Content::User {
                parts: content
                    .into_iter()
                    .map(|part| Part::text(part.text))
                    .collect(),
            },
            OutputItem::Other => Content::Opaque,
        };
        let native = Some(Native {
            provenance: self.provenance.clone(),
            json: RawJson::from(raw.to_owned()),
        });
        Ok(Item { content, native })
    }

    fn deltas(&self) -> serde_json::Result<Vec<Delta>> {
        let answer: Answer<'_> = serde_json::from_slice(&self.body)?;
        let items = answer.output.into_iter();
        let mut deltas = items
            .map(|raw| self.item(raw).map(|item| Delta::Item { item }))
            .collect::<serde_json::Result<Vec<_>>>()?;
        let usage = answer.usage.map(|usage| Delta::Usage {
            usage: usage.into(),
        });
        deltas.extend(usage);
        Ok(deltas)
    }
}

impl ReplyParser for Compacted {
    const FORM: Form = Form::Json;

    fn push(&mut self, bytes: &[u8], _: &mut Vec<Delta>) -> Result<(), ProviderError> {
        if self.body.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(transport_error(format!(
                "{}: the compacted conversation has more than {MAX_BODY_BYTES} bytes",
                self.provenance.provider
            )));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        false
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        error::in_stream(body, &self.provenance.provider, &self.key_source)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        match self.deltas() {
            Ok(deltas) => out.extend(deltas),
            Err(error) if error.is_eof() => return Err(cut_off(&self.provenance.provider)),
            Err(error) => return Err(senseless(&self.provenance.provider, &error)),
        }
        Ok(Finish {
            stop: StopReason::EndTurn,
            raw: "compacted".to_owned(),
        })
    }
}

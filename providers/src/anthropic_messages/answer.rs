//! The bytes of one answer, as the reply they make.

use pullwright_protocol::Provenance;
use pullwright_protocol::provider::{Delta, ProviderError};

use super::reply::Reply;
use crate::exchange::{ReplyParser, cut_off};
use crate::http::transport_error;
use crate::kit::Finish;
use crate::sse::SseParser;

pub(super) struct Answer {
    provider: String,
    events: SseParser,
    reply: Reply,
    finish: Option<Finish>,
}

impl Answer {
    pub(super) fn new(provenance: Provenance, key_source: String) -> Self {
        Self {
            provider: provenance.provider.clone(),
            events: SseParser::default(),
            reply: Reply::new(provenance, key_source),
            finish: None,
        }
    }
}

impl ReplyParser for Answer {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError> {
        let mut events = Vec::new();
        let parsed = self.events.push(bytes, |event| events.push(event));
        for event in events {
            // Nothing counts that comes after the end.
            if self.finish.is_none() {
                self.finish = self.reply.take(&event, out)?;
            }
        }
        match parsed {
            Err(error) if self.finish.is_none() => {
                Err(transport_error(format!("{}: {error}", self.provider)))
            }
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    fn refusal(&self, body: &[u8]) -> ProviderError {
        self.reply.broken_off(body)
    }

    fn notices(&mut self) -> Vec<String> {
        self.reply.notices()
    }

    fn end(&mut self, _: &mut Vec<Delta>) -> Result<Finish, ProviderError> {
        self.finish.take().ok_or_else(|| cut_off(&self.provider))
    }
}

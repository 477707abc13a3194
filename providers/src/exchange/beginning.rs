//! How a success begins. Services and proxies answer with success, and then with an error, a page for a
//! browser or nothing at all.

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{MAX_ERROR_BODY_BYTES, header};
use crate::excerpt::on_one_line;
use crate::http::transport_error;

/// In which form a wire format wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events.
    Events,
    /// JSON, one object a line.
    Lines,
    /// One JSON object.
    Json,
}

/// What a success is instead of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Empty,
    /// An error of the API's, in JSON.
    Refusal,
    /// A reply that is not streamed.
    WholeReply,
    /// Anything else, such as a page.
    Foreign,
}

/// The beginning of an answer's body, until something of a reply has come out of it.
#[derive(Debug)]
pub(super) struct Beginning {
    status: u16,
    media_type: String,
    pub(super) body: Vec<u8>,
    /// There is more of it than was kept.
    pub(super) is_cut: bool,
    /// Its end has come.
    pub(super) is_whole: bool,
    /// Something of a reply has come out of it, so nothing more is kept.
    pub(super) is_reply: bool,
}

impl Beginning {
    pub(super) fn of(response: &Response) -> Self {
        let media_type = header(response.headers(), CONTENT_TYPE.as_str());
        let media_type = media_type.and_then(|value| value.split(';').next());
        Self {
            status: response.status().as_u16(),
            media_type: media_type.unwrap_or("a body without a type").to_owned(),
            body: Vec::new(),
            is_cut: false,
            is_whole: false,
            is_reply: false,
        }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        if self.is_reply {
            return;
        }
        let room = MAX_ERROR_BODY_BYTES - self.body.len();
        self.is_cut |= piece.len() > room;
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Whether it looks like an answer in `form`, as far as it is there.
    pub(super) fn looks_like(&self, form: Form) -> bool {
        match form {
            Form::Events => begins_like_events(self.text()),
            Form::Lines | Form::Json => self.text().first().is_none_or(|byte| *byte == b'{'),
        }
    }

    /// The error that a parser has made of it, in the words of what it is. `refusal` makes one of an error
    /// of the API's.
    pub(super) fn explain(
        &self,
        error: ProviderError,
        provider: &str,
        form: Form,
        refusal: impl FnOnce(&[u8]) -> ProviderError,
    ) -> ProviderError {
        let (status, media_type) = (self.status, &self.media_type);
        let said = || on_one_line(&String::from_utf8_lossy(&self.body));
        match self.misfit(form) {
            None => error,
            Some(Misfit::Refusal) => refusal(&self.body),
            Some(Misfit::Empty) => transport_error(format!(
                "{provider}: the API answered {status}, and then said nothing at all"
            )),
            Some(Misfit::WholeReply) => ProviderError {
                kind: FailureKind::ProviderRequest,
                retryable: false,
                ..transport_error(format!(
                    "{provider}: the API answered with a whole reply instead of a stream; the service, and what \
                     stands between, must be able to stream: {}",
                    said()
                ))
            },
            Some(Misfit::Foreign) => transport_error(format!(
                "{provider}: the API answered {status} with {media_type} instead of a reply; check `base_url`, \
                 and what stands between: {}",
                said()
            )),
        }
    }

    /// What it is if it is no answer in `form`. An answer that is one may still make no sense, or be cut off.
    fn misfit(&self, form: Form) -> Option<Misfit> {
        let text = self.text();
        if self.is_reply {
            return None;
        }
        if text.is_empty() {
            return Some(Misfit::Empty);
        }
        let json: Option<Value> = serde_json::from_slice(text).ok();
        let is_refusal = json.as_ref().is_some_and(is_refusal);
        let fits = match form {
            Form::Events => self.looks_like(form),
            Form::Lines => self.looks_like(form) && begins_like_lines(text),
            Form::Json => self.looks_like(form) && !is_refusal,
        };
        match text[0] {
            _ if fits => None,
            _ if is_refusal => Some(Misfit::Refusal),
            b'{' if is_whole_reply(json.as_ref(), text) => Some(Misfit::WholeReply),
            _ => Some(Misfit::Foreign),
        }
    }

    /// Without white space and the mark that some put before a text.
    fn text(&self) -> &[u8] {
        let body = self.body.trim_ascii();
        body.strip_prefix(b"\xEF\xBB\xBF")
            .unwrap_or(body)
            .trim_ascii_start()
    }
}

/// What the first line of such a stream may start with. It may be cut off anywhere.
fn begins_like_events(text: &[u8]) -> bool {
    const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    let first = lines.next().unwrap_or_default();
    match first.iter().position(|byte| *byte == b':') {
        Some(colon) => colon == 0 || FIELDS.contains(&&first[..colon]),
        None => FIELDS.iter().any(|field| field.starts_with(first)),
    }
}

/// An object that goes over several lines is none of them.
fn begins_like_lines(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b'\n');
    end.is_none_or(|end| serde_json::from_slice::<IgnoredAny>(&text[..end]).is_ok())
}

/// Whether it is an error in a form that some service or other has for it.
fn is_refusal(json: &Value) -> bool {
    let has_error = |value: &Value| value.get("error").is_some_and(|error| !error.is_null());
    let names_one = |key: &str| json[key] == "error";
    let says_one = |key: &str| json[key].is_string();
    has_error(json)
        || has_error(&json[0])
        || names_one("type")
        || names_one("object")
        || says_one("message")
        || says_one("detail")
        || says_one("msg")
        || json["base_resp"]["status_msg"].is_string() && json["base_resp"]["status_code"] != 0
}

/// Where the wire formats have the words of a reply that is not streamed.
const WORDS: [&str; 4] = ["choices", "candidates", "output", "content"];

/// Whether it is a reply that is not streamed, as far as it is there: what is cut off is no JSON.
fn is_whole_reply(json: Option<&Value>, text: &[u8]) -> bool {
    let Some(json) = json else {
        let text = String::from_utf8_lossy(text);
        return WORDS.iter().any(|key| text.contains(&format!("\"{key}\"")));
    };
    let has_words = |key: &&str| json[*key].is_array() || json[*key].is_string();
    WORDS.iter().any(has_words) || json["message"]["content"].is_string()
}

//! The head of a request, read strictly.
//!
//! hyper reads it again when the request is carried. What hyper, or the server behind, might
//! repair or read in another way is refused here, so that all of them see the same request.

use std::str;

use tokio::time::timeout;

use super::inbound::Inbound;
use super::limits::{EgressLimits, MAX_HEAD_BYTES, MAX_HEADERS};
use super::refusal::Reason;

/// The bytes that end a head.
const END: &[u8] = b"\r\n\r\n";

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The client has gone, or has nothing to ask.
    Gone,
    /// What it sent is refused.
    Refused(Reason),
}

/// A head, in its parts. They borrow from its bytes.
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) is_http_11: bool,
    fields: Vec<(&'a str, &'a [u8])>,
}

/// Waits until the connection begins with a whole head, and gives its length.
pub(super) async fn await_head(
    inbound: &mut Inbound,
    limits: &EgressLimits,
    is_first: bool,
) -> Result<usize, NoHead> {
    if !is_first && inbound.ahead().is_empty() {
        let more = timeout(limits.keep_alive, inbound.look_further()).await;
        if !matches!(more, Ok(Ok(1..))) {
            return Err(NoHead::Gone);
        }
    }
    let whole = timeout(limits.head, read_until_end(inbound)).await;
    whole.unwrap_or(match inbound.ahead() {
        [] => Err(NoHead::Gone),
        _ => Err(NoHead::Refused(Reason::HeadTimeout)),
    })
}

async fn read_until_end(inbound: &mut Inbound) -> Result<usize, NoHead> {
    let mut searched = 0;
    loop {
        let found = find_end(inbound.ahead(), searched).map_err(NoHead::Refused)?;
        searched = inbound.ahead().len();
        match found {
            Some(length) if length <= MAX_HEAD_BYTES => return Ok(length),
            None if searched < MAX_HEAD_BYTES => {}
            _ => return Err(NoHead::Refused(Reason::HeadTooLarge)),
        }
        if !matches!(inbound.look_further().await, Ok(1..)) {
            return Err(NoHead::Gone);
        }
    }
}

/// Where the head ends, if it does. Lines end in CR LF, and neither stands alone.
fn find_end(bytes: &[u8], searched: usize) -> Result<Option<usize>, Reason> {
    for at in searched..bytes.len() {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        match (before, bytes[at]) {
            (Some(b'\r'), b'\n') if at == 1 => return Err(Reason::MalformedRequest),
            (Some(b'\r'), b'\n') if bytes[..=at].ends_with(END) => return Ok(Some(at + 1)),
            (Some(b'\r'), b'\n') => {}
            (Some(b'\r'), _) | (_, b'\n' | b'\0') => return Err(Reason::MalformedRequest),
            _ => {}
        }
    }
    Ok(None)
}

impl<'a> Head<'a> {
    /// Takes the bytes of a whole head apart.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Reason> {
        let bytes = bytes.strip_suffix(END).unwrap_or(bytes);
        let mut lines = bytes.split(|byte| *byte == b'\n').map(trim_cr);
        let first = lines.next().unwrap_or_default();
        let (method, target, version) = request_line(first).ok_or(Reason::MalformedRequest)?;
        let fields: Option<Vec<_>> = lines.map(field).collect();
        let fields = fields.ok_or(Reason::MalformedRequest)?;
        if fields.len() > MAX_HEADERS {
            return Err(Reason::HeadTooLarge);
        }
        Ok(Self {
            method,
            target,
            is_http_11: version == "HTTP/1.1",
            fields,
        })
    }

    /// All values of a field.
    pub(super) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let fields = self.fields.iter();
        let named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    }

    /// Whether a list of words has this one.
    pub(super) fn lists(&self, name: &str, word: &str) -> bool {
        let values = self.values(name).into_iter();
        let mut words = values.flat_map(|value| value.split(|byte| *byte == b','));
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn request_line(line: &[u8]) -> Option<(&str, &str, &str)> {
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_well_formed = words.next().is_none()
        && is_token(method)
        && !target.is_empty()
        && target.bytes().all(|byte| byte.is_ascii_graphic())
        && matches!(version, "HTTP/1.1" | "HTTP/1.0");
    is_well_formed.then_some((method, target, version))
}

/// A line that begins with a space would belong to the one before, and its name is no token.
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = str::from_utf8(&line[..colon]).ok()?;
    let value = &line[colon + 1..];
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    (is_token(name) && value.iter().all(is_text)).then_some((name, value.trim_ascii()))
}

fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

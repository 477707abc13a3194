//! What a head asks for.

use std::str;

use hyper::http::uri::PathAndQuery;

use super::audit::Method;
use super::head::Head;
use super::host::{HTTP_PORT, Target};
use super::refusal::Reason;

/// The longest text of a client that is shown to anybody.
const MAX_SHOWN_BYTES: usize = 256;

/// A request that is well-formed. Whether it is allowed is another question.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A tunnel.
    Connect,
    /// A request to be carried.
    Http(HttpRequest),
}

#[derive(Debug)]
pub(super) struct HttpRequest {
    /// What the server is asked for.
    pub(super) path: PathAndQuery,
    /// How long the body is, or nothing when it says so itself, in chunks.
    pub(super) body: Option<u64>,
    /// Whether the client cannot ask again on this connection.
    pub(super) is_last: bool,
}

/// A request that is not well-formed, with what of it can be shown.
#[derive(Debug)]
pub(super) struct BadRequest {
    pub(super) method: Method,
    pub(super) shown: String,
    pub(super) reason: Reason,
}

impl Request {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        let head = Head::parse(bytes).map_err(|reason| BadRequest::unread(bytes, reason))?;
        let method = match head.method {
            "CONNECT" => Method::Connect,
            _ => Method::Http,
        };
        let request = match method {
            Method::Connect => connect(&head),
            Method::Http => http(&head),
        };
        request.map_err(|reason| BadRequest {
            method,
            shown: shown(head.target.as_bytes()),
            reason,
        })
    }

    pub(super) fn method(&self) -> Method {
        match self.kind {
            Kind::Connect => Method::Connect,
            Kind::Http(_) => Method::Http,
        }
    }
}

impl BadRequest {
    /// One whose head cannot be read.
    pub(super) fn unread(bytes: &[u8], reason: Reason) -> Self {
        Self {
            method: Method::Http,
            shown: shown(bytes),
            reason,
        }
    }
}

fn connect(head: &Head<'_>) -> Result<Request, Reason> {
    let target = Target::from_authority(head.target, None)?;
    match body_length(head)? {
        Some(0) => Ok(Request {
            target,
            kind: Kind::Connect,
        }),
        _ => Err(Reason::AmbiguousLength),
    }
}

fn http(head: &Head<'_>) -> Result<Request, Reason> {
    let (authority, path) = split_uri(head.target)?;
    let target = Target::from_authority(authority, Some(HTTP_PORT))?;
    check_host(head, &target)?;
    check_expectation(head)?;
    let body = body_length(head)?;
    let http = HttpRequest {
        path: path.parse().map_err(|_| Reason::MalformedRequest)?,
        body,
        is_last: body.is_none() || !head.is_http_11 || head.lists("connection", "close"),
    };
    Ok(Request {
        target,
        kind: Kind::Http(http),
    })
}

/// The authority and the rest of an absolute URI.
fn split_uri(uri: &str) -> Result<(&str, String), Reason> {
    let scheme = uri.get(..7).ok_or(Reason::RequestForm)?;
    if !scheme.eq_ignore_ascii_case("http://") {
        return Err(Reason::RequestForm);
    }
    if uri.contains(['\\', '#']) {
        return Err(Reason::MalformedRequest);
    }
    let rest = &uri[7..];
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match path.starts_with('/') {
        true => Ok((authority, path.to_owned())),
        false => Ok((authority, format!("/{path}"))),
    }
}

/// The server would go by the `Host` header, so it may say nothing but the URI does.
fn check_host(head: &Head<'_>, target: &Target) -> Result<(), Reason> {
    let host = match head.values("host").as_slice() {
        [] if !head.is_http_11 => return Ok(()),
        [host] => str::from_utf8(host).map_err(|_| Reason::HostMismatch)?,
        _ => return Err(Reason::HostMismatch),
    };
    match Target::from_authority(host, Some(HTTP_PORT)) {
        Ok(named) if named == *target => Ok(()),
        _ => Err(Reason::HostMismatch),
    }
}

/// hyper meets the one expectation there is.
fn check_expectation(head: &Head<'_>) -> Result<(), Reason> {
    let expected = head.values("expect");
    match expected
        .iter()
        .all(|value| value.eq_ignore_ascii_case(b"100-continue"))
    {
        true => Ok(()),
        false => Err(Reason::MalformedRequest),
    }
}

/// The length of the body, or nothing when it comes in chunks.
fn body_length(head: &Head<'_>) -> Result<Option<u64>, Reason> {
    let lengths = head.values("content-length");
    match (
        lengths.as_slice(),
        head.values("transfer-encoding").as_slice(),
    ) {
        ([], []) => Ok(Some(0)),
        ([length], []) => Ok(Some(plain_number(length).ok_or(Reason::AmbiguousLength)?)),
        ([], [coding]) if head.is_http_11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
        _ => Err(Reason::AmbiguousLength),
    }
}

/// Digits alone, where others would also take a sign or a list.
fn plain_number(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(digits).ok().filter(|_| is_plain)?;
    text.parse().ok()
}

/// The beginning of what a client sent, in printable characters.
fn shown(bytes: &[u8]) -> String {
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let text = line[..line.len().min(MAX_SHOWN_BYTES)].escape_ascii();
    text.to_string()
}

//! Why a request was not carried, in words that a model or a person can act on.

use std::fmt;

/// Why a request was denied. The text of each is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The host is on no list.
    HostNotAllowed,
    /// The host is, but with another port.
    PortNotAllowed,
    /// An address instead of a name.
    IpLiteral,
    /// The name has a private address, and is not permitted to.
    PrivateAddress,
    /// The name has an address that nothing may connect to, such as one of a metadata service.
    ForbiddenAddress,
    /// A user or a password in front of the host.
    UserInfo,
    /// Not a name.
    BadHost,
    /// Not a port.
    BadPort,
    /// The `Host` header names another host than the URI.
    HostMismatch,
    /// Neither `CONNECT` nor an absolute `http` URI.
    RequestForm,
    /// Two readers could see two different ends of the request.
    AmbiguousLength,
    /// Not HTTP/1.1, or not strictly.
    MalformedRequest,
    /// The head is too long.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTimeout,
}

/// Why an allowed request failed. The text of each is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The name has no address.
    NameNotFound,
    /// No address takes the connection.
    Unreachable,
    /// The name server or the server does not answer.
    TimedOut,
    /// The server's answer is not HTTP.
    BadAnswer,
}

impl Reason {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host_not_allowed",
            Self::PortNotAllowed => "port_not_allowed",
            Self::IpLiteral => "ip_literal",
            Self::PrivateAddress => "private_address",
            Self::ForbiddenAddress => "forbidden_address",
            Self::UserInfo => "user_info",
            Self::BadHost => "bad_host",
            Self::BadPort => "bad_port",
            Self::HostMismatch => "host_mismatch",
            Self::RequestForm => "request_form",
            Self::AmbiguousLength => "ambiguous_length",
            Self::MalformedRequest => "malformed_request",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimeout => "head_timeout",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::HostNotAllowed
            | Self::PortNotAllowed
            | Self::IpLiteral
            | Self::PrivateAddress
            | Self::ForbiddenAddress => 403,
            Self::UserInfo
            | Self::BadHost
            | Self::BadPort
            | Self::HostMismatch
            | Self::RequestForm
            | Self::AmbiguousLength
            | Self::MalformedRequest => 400,
            Self::HeadTimeout => 408,
            Self::HeadTooLarge => 431,
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "this host is not in the sandbox's list of allowed hosts",
            Self::PortNotAllowed => "this host is allowed, but not with this port",
            Self::IpLiteral => "addresses cannot be reached, only hosts allowed by name",
            Self::PrivateAddress => "this host has an address in a private network",
            Self::ForbiddenAddress => "this host has an address that nothing may connect to",
            Self::UserInfo => "a user or password stands in front of the host",
            Self::BadHost => "this is not the name of a host",
            Self::BadPort => "there is no port, or one that cannot be",
            Self::HostMismatch => "the `Host` header must name the host of the URI, once",
            Self::RequestForm => {
                "this is a proxy: it takes `CONNECT host:port`, and absolute URIs with `http://`"
            }
            Self::AmbiguousLength => {
                "the length of the request must be said once, by one `Content-Length` or by \
                 `Transfer-Encoding: chunked`, and `CONNECT` has none"
            }
            Self::MalformedRequest => "this is not a well-formed HTTP/1.1 request",
            Self::HeadTooLarge => "the request's headers are too large",
            Self::HeadTimeout => "the request's headers did not come in time",
        }
    }

    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::HostNotAllowed | Self::PortNotAllowed => Some(
                "Do without it, or ask the operator to add it to `allow` of [sandbox.network] in \
                 plugins.toml (for the installation of dependencies: `allow` of [setup]).",
            ),
            Self::IpLiteral => Some(
                "Use the name of a host that is in `allow` of [sandbox.network] (or of [setup]) \
                 in plugins.toml.",
            ),
            Self::PrivateAddress => Some(
                "If that is meant, the operator can add it to `private` of [sandbox.network] in \
                 plugins.toml, beside `allow`.",
            ),
            _ => None,
        }
    }
}

impl Fault {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NameNotFound => "name_not_found",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::TimedOut => 504,
            Self::NameNotFound | Self::Unreachable | Self::BadAnswer => 502,
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::NameNotFound => "this host is allowed, but its name has no address",
            Self::Unreachable => "this host is allowed, but no connection to it can be made",
            Self::TimedOut => "this host is allowed, but does not answer in time",
            Self::BadAnswer => "this host is allowed, but its answer is not HTTP/1.1",
        }
    }
}

/// The answer to a request that was denied, for a target in printable text.
pub(super) fn denial(target: &str, reason: Reason) -> Vec<u8> {
    let name = reason.as_str();
    let remedy = reason.remedy().map(|text| format!("{text}\n"));
    answer(
        reason.status(),
        &format!("Denied by the sandbox, see plugins.toml ({name})"),
        &format!(
            "The sandbox's network refused {target}: {} ({name}).\n{}",
            reason.explanation(),
            remedy.unwrap_or_default()
        ),
    )
}

/// The answer to a request that was allowed and failed.
pub(super) fn failure(target: &str, fault: Fault) -> Vec<u8> {
    let name = fault.as_str();
    answer(
        fault.status(),
        &format!("Failed behind the sandbox ({name})"),
        &format!(
            "The sandbox's network cannot reach {target}: {} ({name}).\n",
            fault.explanation()
        ),
    )
}

/// Some clients show nothing but the phrase beside the status, so it says the essential.
fn answer(status: u16, phrase: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {phrase}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n\
         {body}",
        body.len()
    )
    .into_bytes()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

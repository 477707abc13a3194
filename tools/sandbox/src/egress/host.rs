//! The name of a host, normalised once.

use std::fmt;
use std::net::Ipv6Addr;

use super::refusal::Reason;

/// The longest name that DNS has.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// The port of plain HTTP.
pub(super) const HTTP_PORT: u16 = 80;

/// The name of a host in its one form: lower case, IDNA, no dot at the end, and never an address,
/// in whatever notation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

/// Where a request wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: HostName,
    /// Its port.
    pub port: u16,
}

impl HostName {
    /// Normalises a name.
    ///
    /// # Errors
    /// It is an address, or not a name at all.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        refuse_odd_text(text)?;
        let url::Host::Domain(name) = url::Host::parse(text).map_err(|_| Reason::BadHost)? else {
            return Err(Reason::IpLiteral);
        };
        let name = name.strip_suffix('.').unwrap_or(&name);
        if !is_name(name) {
            return Err(Reason::BadHost);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is below `parent`, and not `parent` itself.
    pub(super) fn is_below(&self, parent: &Self) -> bool {
        let below = self.0.strip_suffix(parent.as_str());
        below.is_some_and(|below| below.ends_with('.'))
    }
}

impl Target {
    /// Reads `host:port`, or `host` alone where there is a port to assume.
    pub(super) fn from_authority(text: &str, assumed: Option<u16>) -> Result<Self, Reason> {
        if text.contains('@') {
            return Err(Reason::UserInfo);
        }
        if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
            return Err(Reason::IpLiteral);
        }
        let (host, port) = match (text.rsplit_once(':'), assumed) {
            (Some((host, port)), _) => (host, parse_port(port)?),
            (None, Some(port)) => (text, port),
            (None, None) => return Err(Reason::BadPort),
        };
        let host = HostName::parse(host)?;
        Ok(Self { host, port })
    }

    /// As the `Host` header of plain HTTP has it.
    pub(super) fn http_authority(&self) -> String {
        match self.port {
            HTTP_PORT => self.host.to_string(),
            _ => self.to_string(),
        }
    }
}

/// A port as people write it, and not zero.
pub(super) fn parse_port(text: &str) -> Result<u16, Reason> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain => Ok(port),
        _ => Err(Reason::BadPort),
    }
}

/// What the parser of URLs would decode, split or drop.
fn refuse_odd_text(text: &str) -> Result<(), Reason> {
    if text.contains('@') {
        return Err(Reason::UserInfo);
    }
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        return Err(Reason::IpLiteral);
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "%:/\\?#[]".contains(c);
    match text.len() > 4 * MAX_NAME_BYTES || text.contains(is_odd) {
        true => Err(Reason::BadHost),
        false => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_name_byte)
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label)
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

//! The list of allowed hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name there is, in bytes.
const MAX_HOST_LEN: usize = 253;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
    Ssh,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
        }
    }
}

/// One entry of `[repositories] hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRule {
    ssh: bool,
    host: Host,
    port: Option<u16>,
}

/// A normalised host: lower case, no trailing dot, an address only in its usual notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

impl HostRule {
    /// Parses `host`, `host:port` or `ssh://host[:port]`.
    pub(crate) fn parse(entry: &str) -> Result<Self, String> {
        let (ssh, rest) = match entry.strip_prefix("ssh://") {
            Some(rest) => (true, rest),
            None => (false, entry),
        };
        let (host, port) = split_port(rest)?;
        Ok(Self {
            ssh,
            host: Host::parse(host)?,
            port,
        })
    }

    /// Whether this entry allows the host.
    pub(crate) fn allows(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.host == *host
            && match scheme {
                Scheme::Https => !self.ssh && self.port.unwrap_or(443) == port,
                Scheme::Http => !self.ssh && self.port == Some(port),
                Scheme::Ssh => self.ssh && self.port.unwrap_or(22) == port,
            }
    }

    /// Whether the entry is so exact that a private address behind it is meant.
    pub(crate) fn names_private(&self) -> bool {
        self.port.is_some() || matches!(self.host, Host::Address(_))
    }
}

impl Host {
    /// Normalises a host as it is written in a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let address: Ipv6Addr = inner
                .parse()
                .map_err(|_| format!("`{text}` is not an IPv6 address"))?;
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        check_name(&name)?;
        Ok(Self::Name(name))
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Splits `host:port`; the port must be a plain number from 1 to 65535.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let host_end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or(text.len(), |at| at + 2),
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').unwrap_or("");
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(port) if plain => Ok((host, Some(port))),
        _ => Err(format!("`{rest}` is not a port")),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("`{name}` is not a host name: {why}"));
    if name.is_empty() || name.len() > MAX_HOST_LEN {
        return bad("it is empty or too long");
    }
    for label in name.split('.') {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if label.is_empty() || !label.bytes().all(plain) {
            return bad("only letters, digits, `-` and `.` are taken, and no label is empty");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return bad("a label begins or ends with `-`");
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        return bad("an address is written like 192.0.2.1");
    }
    Ok(())
}

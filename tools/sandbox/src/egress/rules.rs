//! Which hosts a sandbox may reach, as `plugins.toml` says.

use super::host::{HostName, Target, parse_port};
use super::refusal::Reason;

/// The ports of a host that is written without one.
const DEFAULT_PORTS: [u16; 2] = [443, 80];

/// The hosts that may be reached. Without any, none may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressRules {
    allow: Vec<Rule>,
    private: Vec<Rule>,
}

/// Why a host of `plugins.toml` is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// An address.
    #[error("`{0}` is an address; write the name of a host, since only names can be allowed")]
    Address(String),
    /// Something that is no port.
    #[error("`{0}` has no usable port; write one from 1 to 65535, as in `host.example:8443`")]
    Port(String),
    /// Anything else.
    #[error(
        "`{0}` is not a host; write it like `api.example.com`, `*.example.com` for all below it, \
         or `api.example.com:8443`"
    )]
    Host(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(HostName),
    Below(HostName),
}

impl EgressRules {
    /// Reads hosts: `api.example.com`, or `*.example.com` for those below it, each with a port or
    /// without. Without one, ports 443 and 80 are meant.
    ///
    /// # Errors
    /// One of them is not a host.
    pub fn new(allow: &[String]) -> Result<Self, RuleError> {
        Ok(Self {
            allow: parse_all(allow)?,
            private: Vec::new(),
        })
    }

    /// Lets these hosts, written as above, have addresses of private networks and of this machine.
    /// They must be allowed as well. Addresses of link-local and metadata services stay forbidden.
    ///
    /// # Errors
    /// One of them is not a host.
    pub fn permit_private(mut self, hosts: &[String]) -> Result<Self, RuleError> {
        self.private = parse_all(hosts)?;
        Ok(self)
    }

    /// Whether nothing is allowed, so that no proxy is needed.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }

    /// Whether a request may go there.
    pub(super) fn check(&self, target: &Target) -> Result<(), Reason> {
        let mut of_host = self
            .allow
            .iter()
            .filter(|rule| rule.host.covers(&target.host));
        let port = target.port;
        if of_host.clone().any(|rule| rule.covers_port(port)) {
            return Ok(());
        }
        match of_host.next() {
            Some(_) => Err(Reason::PortNotAllowed),
            None => Err(Reason::HostNotAllowed),
        }
    }

    /// Whether it may have a private address.
    pub(super) fn permits_private(&self, target: &Target) -> bool {
        let mut rules = self.private.iter();
        rules.any(|rule| {
            rule.host.covers(&target.host) && rule.port.is_none_or(|port| port == target.port)
        })
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, Reason> {
        if text.contains('/') {
            return Err(Reason::BadHost);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if HostName::parse(text) != Err(Reason::IpLiteral) => {
                (name, Some(parse_port(port)?))
            }
            _ => (text, None),
        };
        let host = match name.strip_prefix("*.") {
            Some(parent) => Pattern::Below(HostName::parse(parent)?),
            None => Pattern::Exactly(HostName::parse(name)?),
        };
        Ok(Self { host, port })
    }

    fn covers_port(&self, port: u16) -> bool {
        match self.port {
            Some(only) => port == only,
            None => DEFAULT_PORTS.contains(&port),
        }
    }
}

impl Pattern {
    fn covers(&self, host: &HostName) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::Below(parent) => host.is_below(parent),
        }
    }
}

fn parse_all(hosts: &[String]) -> Result<Vec<Rule>, RuleError> {
    let rules = hosts.iter().map(|text| {
        Rule::parse(text).map_err(|reason| match reason {
            Reason::IpLiteral => RuleError::Address(text.clone()),
            Reason::BadPort => RuleError::Port(text.clone()),
            _ => RuleError::Host(text.clone()),
        })
    });
    rules.collect()
}

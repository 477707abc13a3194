//! Which addresses a host may have: against a listed name that points into the private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::config::Timeouts;
use crate::host::Host;
use crate::url::Endpoint;

/// What resolvers say of a name that is in no DNS.
const UNKNOWN_NAME: &[&str] = &[
    "not known",
    "does not resolve",
    "no address associated",
    "non-recoverable",
];

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    /// Only for a host that the configuration names with its port or as an address.
    Private(&'static str),
    /// Only for this very address in the configuration: cloud metadata lives there.
    LinkLocal,
    /// Never.
    Nowhere(&'static str),
}

/// Resolves the endpoint once and answers the address to connect to.
pub(crate) async fn resolve(
    endpoint: &Endpoint,
    timeouts: &Timeouts,
) -> Result<IpAddr, SourceError> {
    let addresses = match &endpoint.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => look_up(name, endpoint.port, timeouts).await?,
    };
    for address in &addresses {
        check(endpoint, *address)?;
    }
    addresses
        .first()
        .copied()
        .ok_or_else(|| repository(format!("the host `{}` has no address", endpoint.host)))
}

async fn look_up(name: &str, port: u16, timeouts: &Timeouts) -> Result<Vec<IpAddr>, SourceError> {
    match timeout(timeouts.resolve, lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(prefer_v4(found.map(|address| address.ip()).collect())),
        Ok(Err(error)) => Err(unresolved(name, &error.to_string())),
        Err(_) => Err(repository(format!(
            "resolving the host `{name}` took more than {} s; check the server's DNS",
            timeouts.resolve.as_secs()
        ))
        .passing(true)),
    }
}

/// A resolver that is down or overloaded is back later; a name that it says does not exist is misspelt.
fn unresolved(name: &str, why: &str) -> SourceError {
    let low = why.to_ascii_lowercase();
    let is_unknown = UNKNOWN_NAME.iter().any(|phrase| low.contains(phrase));
    let message =
        format!("the host `{name}` cannot be resolved ({why}); check the URL and the server's DNS");
    repository(message).passing(!is_unknown)
}

/// One address is pinned, and a machine without an IPv6 route is commoner than one without IPv4.
fn prefer_v4(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

fn check(endpoint: &Endpoint, address: IpAddr) -> Result<(), SourceError> {
    let host = &endpoint.host;
    let literal = matches!(host, Host::Address(_));
    match reach(address) {
        Reach::Public => Ok(()),
        Reach::Private(_) if endpoint.names_private => Ok(()),
        Reach::LinkLocal if literal => Ok(()),
        Reach::Private(what) => Err(repository(format!(
            "the host `{host}` has the {what} address {address}, which is not allowed; add \
             \"{host}:{}\" to `[repositories] hosts` if that is meant",
            endpoint.port
        ))),
        Reach::LinkLocal => Err(repository(format!(
            "the host `{host}` has the link-local address {address}, which is not allowed"
        ))),
        Reach::Nowhere(what) => Err(repository(format!(
            "the host `{host}` has the {what} address {address}, which nothing can be fetched from"
        ))),
    }
}

/// Says how far an address reaches.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [0, ..] => Reach::Nowhere("unspecified"),
        [224..=239, ..] => Reach::Nowhere("multicast"),
        [240..=255, ..] => Reach::Nowhere("reserved"),
        [127, ..] => Reach::Private("loopback"),
        [169, 254, ..] => Reach::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private("private"),
        [100, 64..=127, ..] => Reach::Private("carrier-grade NAT"),
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Private("special-purpose"),
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_unspecified() {
        return Reach::Nowhere("unspecified");
    }
    if address.is_loopback() {
        return Reach::Private("loopback");
    }
    if let Some(inner) = embedded_v4(address) {
        return reach_v4(inner);
    }
    match address.segments() {
        [0xff00..=0xffff, ..] => Reach::Nowhere("multicast"),
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reach::Private("private"),
        [0x2001, 0 | 0xdb8, ..] | [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] => {
            Reach::Private("special-purpose")
        }
        _ => Reach::Public,
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some(low(a, b)),
        [0x2002, a, b, ..] => Some(low(a, b)),
        _ => None,
    }
}

fn repository(message: String) -> SourceError {
    SourceError::new(FailureKind::Repository, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_is_down_passes_and_an_unknown_name_does_not() {
        for (why, passes) in [
            ("Temporary failure in name resolution", true),
            ("Try again", true),
            ("System error", true),
            ("Name or service not known", false),
            ("nodename nor servname provided, or not known", false),
            ("Name does not resolve", false),
            ("No address associated with hostname", false),
        ] {
            let why = format!("failed to lookup address information: {why}");
            let error = unresolved("a.example", &why);
            assert_eq!(error.passes, passes, "{error}");
        }
    }

    #[test]
    fn every_kind_of_private_address_is_told_apart() {
        for (text, public) in [
            ("140.82.121.4", true),
            ("2606:4700::1", true),
            ("127.0.0.1", false),
            ("127.255.0.9", false),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::7f00:1", false),
            ("64:ff9b::a00:1", false),
            ("2002:7f00:1::", false),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(reach(address) == Reach::Public, public, "{text}");
        }
    }
}

//! From where a request comes.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED: &str = "X-Forwarded-For";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The address that a request comes from: the peer's or, where that is a proxy that is trusted, the last
/// one in `X-Forwarded-For` that is none. What stands before it there is what the client says of itself.
pub(super) fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let values = headers.get_all(FORWARDED).iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        let Some(address) = parse(hop.trim()) else {
            return client;
        };
        client = address;
        if !is_trusted(client, trusted) {
            return client;
        }
    }
    client
}

/// Whether nobody on the way can have read a request: it comes from this machine, or every proxy that is trusted
/// says that it came to it over TLS.
pub(super) fn is_unheard(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    let is_here = client_of(peer, headers, trusted).is_loopback();
    if !is_trusted(peer, trusted) {
        return is_here;
    }
    let values = headers.get_all(FORWARDED_PROTO).iter();
    let schemes = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let schemes: Vec<&str> = schemes.map(str::trim).collect();
    let is_tls = |scheme: &&str| scheme.eq_ignore_ascii_case("https");
    match schemes.is_empty() {
        true => is_here && peer.is_loopback(),
        false => schemes.iter().all(is_tls),
    }
}

/// What counts as one address: whoever has one of IPv6 has its whole /64.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Some proxies write a port, too.
fn parse(hop: &str) -> Option<IpAddr> {
    let with_port = || {
        hop.parse()
            .map(|address: std::net::SocketAddr| address.ip())
    };
    let address = hop.parse().or_else(|_| with_port()).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED, axum::http::HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        let forged = ["1.1.1.1, 2.2.2.2"];
        assert_eq!(client("9.9.9.9", &forged, &[]), "9.9.9.9");
        assert_eq!(client("9.9.9.9", &forged, &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(client("10.0.0.1", &forged, &["10.0.0.0/8"]), "2.2.2.2");
        let through_two = ["1.1.1.1, 2.2.2.2, 10.0.0.2"];
        assert_eq!(client("10.0.0.1", &through_two, &["10.0.0.0/8"]), "2.2.2.2");
        let in_two_headers = ["1.1.1.1", "2.2.2.2"];
        assert_eq!(
            client("10.0.0.1", &in_two_headers, &["10.0.0.0/8"]),
            "2.2.2.2"
        );
    }

    #[test]
    fn what_a_proxy_writes_may_be_odd() {
        let trusted = ["10.0.0.0/8", "::1/128"];
        assert_eq!(client("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["unknown"], &trusted), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["2.2.2.2, unknown"], &trusted),
            "10.0.0.1"
        );
        assert_eq!(client("10.0.0.1", &["2.2.2.2:4711"], &trusted), "2.2.2.2");
        assert_eq!(
            client("::1", &["[2001:db8::1]:443"], &trusted),
            "2001:db8::1"
        );
        assert_eq!(client("::ffff:10.0.0.1", &["2.2.2.2"], &trusted), "2.2.2.2");
        assert_eq!(client("10.0.0.1", &["10.0.0.9"], &trusted), "10.0.0.9");
    }

    #[test]
    fn only_tls_and_the_own_machine_keep_a_request_to_themselves() {
        let unheard = |peer: &str, headers: &[(&'static str, &'static str)]| {
            let mut sent = HeaderMap::new();
            for (name, value) in headers {
                sent.append(*name, axum::http::HeaderValue::from_static(value));
            }
            let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
            is_unheard(peer.parse().unwrap(), &sent, &trusted)
        };
        let client = ("x-forwarded-for", "2.2.2.2");
        let tls = ("x-forwarded-proto", "https");
        let plain = ("x-forwarded-proto", "http");
        for (peer, headers) in [
            ("127.0.0.1", &[][..]),
            ("::ffff:127.0.0.1", &[]),
            ("::1", &[]),
            ("10.0.0.1", &[client, tls]),
            ("::1", &[client, tls]),
            ("10.0.0.1", &[client, ("x-forwarded-proto", "HTTPS, https")]),
        ] {
            assert!(unheard(peer, headers), "{peer} {headers:?}");
        }
        for (peer, headers) in [
            ("9.9.9.9", &[][..]),
            ("9.9.9.9", &[tls]),
            ("9.9.9.9", &[("x-forwarded-for", "127.0.0.1"), tls]),
            ("10.0.0.1", &[]),
            ("10.0.0.1", &[client]),
            ("10.0.0.1", &[("x-forwarded-for", "127.0.0.1")]),
            ("10.0.0.1", &[client, plain]),
            ("10.0.0.1", &[client, tls, plain]),
            ("10.0.0.1", &[client, ("x-forwarded-proto", "https,")]),
            ("::1", &[client]),
            ("::1", &[client, plain]),
        ] {
            assert!(!unheard(peer, headers), "{peer} {headers:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_household() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}

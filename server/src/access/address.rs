//! From where a request comes.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED: &str = "X-Forwarded-For";

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
    fn a_network_of_ipv6_is_one_household() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}

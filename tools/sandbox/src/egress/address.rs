//! Which addresses a name may have.
//!
//! By list of what is public, as the registries of special addresses of RFC 6890 and its updates
//! say, and not of what is private: a range that is forgotten here is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is, seen from this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressClass {
    /// Somewhere on the internet.
    Public,
    /// On this machine or in its networks. Only for hosts that are permitted to be there.
    Private,
    /// Never a place to connect to: metadata services, link-local, multicast, reserved.
    Forbidden,
}

use AddressClass::{Forbidden, Private, Public};

/// Services that give out credentials at addresses that look like any other.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 169, 254),
];

/// As above; Amazon's whole range of such services.
const METADATA_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);
const METADATA_GOOGLE_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32);

pub(super) fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return Forbidden;
    }
    match address.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Private,
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Forbidden,
        _ => Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if let Some(embedded) = address.to_ipv4_mapped() {
        return classify_v4(embedded);
    }
    if let Some(embedded) = translated(address) {
        return match classify_v4(embedded) {
            Public => Public,
            Private | Forbidden => Forbidden,
        };
    }
    let is_in = |(net, bits)| in_network(address, net, bits);
    if is_in(METADATA_V6) || is_in(METADATA_GOOGLE_V6) {
        return Forbidden;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Private,
        // Teredo, benchmarks, ORCHID and other protocols; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Forbidden,
        [0x2000..=0x3fff, ..] => Public,
        _ => Forbidden,
    }
}

/// The address that a translator, NAT64 or 6to4, would connect to.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn in_network(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (u128::from(address) ^ u128::from(network)).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known() {
        for (class, addresses) in [(Public, PUBLIC), (Private, PRIVATE), (Forbidden, FORBIDDEN)] {
            for text in addresses {
                assert_eq!(classify(text.parse().unwrap()), class, "{text}");
            }
        }
    }

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
    ];

    const PRIVATE: &[&str] = &[
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "::1",
        "fc00::",
        "fd12:3456::1",
        "fdff:ffff::",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
    ];

    const FORBIDDEN: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::7f00:1",
        "::10.0.0.1",
        "::1.1.1.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1.1.1.1",
        "100::1",
        "1fff:ffff::",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ffff::1",
    ];
}

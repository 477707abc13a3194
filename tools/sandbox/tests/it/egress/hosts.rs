//! Which hosts are which.

use proptest::prelude::*;
use pullwright_sandbox::egress::{EgressRules, HostName, Reason, RuleError, Verdict};

use super::peer::Peer;
use super::rig::{Rig, owned, status};

/// The port is written in by the test.
const ALLOWED: &[&str] = &[
    "example.com:PORT",
    "*.below.example:PORT",
    "bücher.example:PORT",
];

/// All of these are the hosts above.
const SAME: &[(&str, &str)] = &[
    ("example.com", "example.com"),
    ("EXAMPLE.COM", "example.com"),
    ("EXAMPLE.COM.", "example.com"),
    ("a.below.example", "a.below.example"),
    ("a.B.below.example.", "a.b.below.example"),
    ("_a-b.below.example", "_a-b.below.example"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
];

/// None of these are.
const OTHERS: &[(&str, Reason)] = &[
    ("evil-example.com", Reason::HostNotAllowed),
    ("evilexample.com", Reason::HostNotAllowed),
    ("example.com.evil.net", Reason::HostNotAllowed),
    ("example.co", Reason::HostNotAllowed),
    ("xexample.com", Reason::HostNotAllowed),
    ("a.example.com", Reason::HostNotAllowed),
    ("below.example", Reason::HostNotAllowed),
    ("evilbelow.example", Reason::HostNotAllowed),
    ("a.below.example.evil.net", Reason::HostNotAllowed),
    ("xn--bcher-kvb.example", Reason::BadHost),
    ("bucher.example", Reason::HostNotAllowed),
    ("localhost", Reason::HostNotAllowed),
    ("metadata.google.internal", Reason::HostNotAllowed),
    ("example.com@evil.net", Reason::UserInfo),
    ("evil.net@example.com", Reason::UserInfo),
    ("user:password@example.com", Reason::UserInfo),
    ("example.com%2eevil.net", Reason::BadHost),
    ("example%2ecom", Reason::BadHost),
    ("evil.net%00.below.example", Reason::BadHost),
    ("%65xample.com", Reason::BadHost),
    ("example.com..", Reason::BadHost),
    (".example.com", Reason::BadHost),
    ("example..com", Reason::BadHost),
    (".below.example", Reason::BadHost),
    ("*.below.example", Reason::BadHost),
    ("example.com:443", Reason::BadHost),
    ("evil.net#.below.example", Reason::BadHost),
    ("evil.net?.below.example", Reason::BadHost),
    ("evil.net\\.below.example", Reason::BadHost),
    ("xn--.below.example", Reason::BadHost),
    ("xn--a.below.example", Reason::BadHost),
    ("xn--example-.com", Reason::BadHost),
    ("127.0.0.1", Reason::IpLiteral),
    ("127.0.0.1.", Reason::IpLiteral),
    ("127.1", Reason::IpLiteral),
    ("127.0.1", Reason::IpLiteral),
    ("2130706433", Reason::IpLiteral),
    ("017700000001", Reason::IpLiteral),
    ("0177.0.0.1", Reason::IpLiteral),
    ("0x7f.1", Reason::IpLiteral),
    ("0x7f000001", Reason::IpLiteral),
    ("0X7F.0x0.0x0.0x1", Reason::IpLiteral),
    ("0", Reason::IpLiteral),
    ("169.254.169.254", Reason::IpLiteral),
    ("8.8.8.8", Reason::IpLiteral),
    ("[::1]", Reason::IpLiteral),
    ("[::ffff:127.0.0.1]", Reason::IpLiteral),
    ("[fe80::1%25eth0]", Reason::IpLiteral),
    ("[v1.fe80::a]", Reason::IpLiteral),
    ("127.0.0.256", Reason::BadHost),
    ("1.2.3.4.5", Reason::BadHost),
    ("example.0x7f", Reason::BadHost),
    ("example.1", Reason::BadHost),
    ("09.0.0.1", Reason::BadHost),
];

#[tokio::test]
async fn one_host_in_many_spellings() {
    let mut peer = Peer::new().await;
    let rig = rig_for(&peer);
    for (spelling, name) in SAME {
        let target = peer.at(spelling);
        drop(rig.tunnel(&target).await);
        peer.accept().await;
        assert_eq!(rig.names.asked().last().unwrap(), name);
    }
}

#[tokio::test]
async fn other_hosts_are_refused_before_anything_is_looked_up() {
    let mut peer = Peer::new().await;
    for (spelling, reason) in OTHERS {
        let rig = rig_for(&peer);
        let target = peer.at(spelling);
        let answer = rig
            .say(format!(
                "CONNECT {target} HTTP/1.1\r\nHost: example.com\r\n\r\n"
            ))
            .await;
        assert!(answer.contains(reason.as_str()), "{spelling}: {answer}");
        assert!(matches!(status(&answer), 400 | 403), "{spelling}: {answer}");
        assert_eq!(rig.names.asked(), [""; 0], "{spelling}");
        assert_eq!(rig.verdict().await, Verdict::Denied(*reason), "{spelling}");
    }
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn other_hosts_are_refused_over_plain_http_as_well() {
    let mut peer = Peer::new().await;
    for (spelling, reason) in OTHERS {
        // There, these end the authority.
        if spelling.contains(['?', '#', '\\']) {
            continue;
        }
        let rig = rig_for(&peer);
        let target = peer.at(spelling);
        let answer = rig
            .say(format!(
                "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"
            ))
            .await;
        assert!(answer.contains(reason.as_str()), "{spelling}: {answer}");
        assert_eq!(rig.names.asked(), [""; 0], "{spelling}");
        assert_eq!(rig.verdict().await, Verdict::Denied(*reason), "{spelling}");
    }
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn only_the_ports_that_are_meant() {
    let rig = Rig::new(&["web.example.com", "own.example.com:8443"]);
    for (target, reason) in [
        ("web.example.com:22", Reason::PortNotAllowed),
        ("web.example.com:8443", Reason::PortNotAllowed),
        ("own.example.com:443", Reason::PortNotAllowed),
        ("own.example.com:80", Reason::PortNotAllowed),
        ("web.example.com:0", Reason::BadPort),
        ("web.example.com:65536", Reason::BadPort),
        ("web.example.com:65979", Reason::BadPort),
        ("web.example.com:0443", Reason::BadPort),
        ("web.example.com:+443", Reason::BadPort),
        ("web.example.com:", Reason::BadPort),
        ("web.example.com:https", Reason::BadPort),
        ("web.example.com:443x", Reason::BadPort),
        ("web.example.com", Reason::BadPort),
        ("web.example.com:443:80", Reason::BadHost),
    ] {
        let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        assert!(answer.contains(reason.as_str()), "{target}: {answer}");
    }
    assert_eq!(rig.names.asked(), [""; 0]);
}

#[tokio::test]
async fn without_rules_nothing_is_allowed() {
    let rig = Rig::new(&[]);
    let answer = rig.say("CONNECT example.com:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(status(&answer), 403);
    let told = "The sandbox's network refused example.com:443: this host is not in the sandbox's \
                list of allowed hosts (host_not_allowed).\nDo without it, or ask the operator to \
                add it to `allow` of [sandbox.network] in plugins.toml";
    assert!(answer.contains(told), "{answer}");
    assert!(EgressRules::new(&[]).unwrap().is_empty());
}

#[test]
fn what_is_no_host_is_said_with_its_remedy() {
    for (host, error) in [
        ("127.0.0.1", RuleError::Address("127.0.0.1".to_owned())),
        ("127.1:80", RuleError::Address("127.1:80".to_owned())),
        ("::1", RuleError::Address("::1".to_owned())),
        ("[::1]:443", RuleError::Address("[::1]:443".to_owned())),
        ("*.10.0.0.1", RuleError::Address("*.10.0.0.1".to_owned())),
        ("example.com:0", RuleError::Port("example.com:0".to_owned())),
        (
            "example.com:https",
            RuleError::Port("example.com:https".to_owned()),
        ),
        ("*", RuleError::Host("*".to_owned())),
        ("*:443", RuleError::Host("*:443".to_owned())),
        ("*.", RuleError::Host("*.".to_owned())),
        (
            "a.*.example.com",
            RuleError::Host("a.*.example.com".to_owned()),
        ),
        ("*example.com", RuleError::Host("*example.com".to_owned())),
        (
            "https://example.com",
            RuleError::Host("https://example.com".to_owned()),
        ),
        (
            "example.com/path",
            RuleError::Host("example.com/path".to_owned()),
        ),
        (
            "me@example.com",
            RuleError::Host("me@example.com".to_owned()),
        ),
        ("", RuleError::Host(String::new())),
        (" example.com", RuleError::Host(" example.com".to_owned())),
    ] {
        assert_eq!(
            EgressRules::new(&owned(&["a.example", host])),
            Err(error.clone())
        );
        assert_eq!(
            EgressRules::default().permit_private(&owned(&[host])),
            Err(error)
        );
    }
}

fn rig_for(peer: &Peer) -> Rig {
    let port = peer.address.port().to_string();
    let allowed: Vec<_> = ALLOWED
        .iter()
        .map(|host| host.replace("PORT", &port))
        .collect();
    let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
    Rig::new(&allowed)
}

proptest! {
    #[test]
    fn a_name_is_plain_and_no_address(text in any_host()) {
        if let Ok(name) = HostName::parse(&text) {
            let name = name.as_str();
            let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
            prop_assert!(name.bytes().all(is_plain), "{name}");
            prop_assert!(!name.is_empty() && name.len() <= 253, "{name}");
            prop_assert!(!name.starts_with('.') && !name.ends_with('.'), "{name}");
            prop_assert!(matches!(url::Host::parse(name), Ok(url::Host::Domain(_))), "{name}");
            prop_assert!(!is_read_as_number(name), "{name}");
            let again = HostName::parse(name);
            prop_assert_eq!(again.as_ref().map(HostName::as_str), Ok(name));
        }
    }
}

fn any_host() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        "[a-z0-9_-]{0,6}",
        "0[xX][0-9a-fA-F]{0,9}",
        "[0-9]{1,12}",
        "xn--[a-z0-9-]{0,8}",
        Just("%2e".to_owned()),
        "\\PC{0,4}",
        // Digits and dots of other scripts.
        "[０-９ａ-ｆｘ①-⑨。．｡٠-٩]{1,6}",
    ];
    let labels = prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."));
    prop_oneof![
        labels,
        any::<String>(),
        any::<[u8; 4]>().prop_map(|a| std::net::Ipv4Addr::from(a).to_string())
    ]
}

/// Whether the C library might take it for an address.
fn is_read_as_number(name: &str) -> bool {
    name.split('.').all(|label| {
        let hex = label.strip_prefix("0x");
        let is_hex = hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        is_hex || label.bytes().all(|byte| byte.is_ascii_digit())
    })
}

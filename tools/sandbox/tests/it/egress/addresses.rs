//! Which addresses a name may have.

use pullwright_sandbox::egress::{EgressLimits, Fault, Reason, Verdict};

use super::peer::Peer;
use super::rig::{Rig, rules, status};

#[tokio::test]
async fn a_name_that_turns_private_is_refused() {
    let mut peer = Peer::new().await;
    let target = peer.at("rebind.example.com");
    let rig = Rig::with_rules(rules(&[&target]), EgressLimits::default());
    // The second answer is never asked for by the same request, only by the next.
    rig.names.answer(
        "rebind.example.com",
        &[&["127.0.0.1"], &["10.0.0.1"], &["::1"]],
    );
    for _ in 0..3 {
        let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(status(&answer), 403);
        assert!(answer.contains("private_address"), "{answer}");
        assert!(
            answer.contains("`private` of [sandbox.network]"),
            "{answer}"
        );
    }
    assert!(peer.is_untouched());
    assert_eq!(rig.verdict().await, Verdict::Denied(Reason::PrivateAddress));
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_connected_to() {
    let mut peer = Peer::new().await;
    let target = peer.at("rebind.example.com");
    let rig = Rig::new(&[&target]);
    rig.names.answer(
        "rebind.example.com",
        &[&["127.0.0.1"], &["169.254.169.254"]],
    );
    let _client = rig.tunnel(&target).await;
    assert_eq!(peer.accept().await.local_addr().unwrap(), peer.address);
    assert_eq!(rig.names.asked(), ["rebind.example.com"]);

    let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
    assert!(answer.contains("forbidden_address"), "{answer}");
}

#[tokio::test]
async fn one_bad_address_spoils_the_good_ones() {
    let mut peer = Peer::new().await;
    let target = peer.at("mixed.example.com");
    for bad in ["10.0.0.1", "::ffff:192.168.0.1", "fc00::1", "100.64.0.1"] {
        let rig = Rig::with_rules(rules(&[&target]), EgressLimits::default());
        rig.names
            .answer("mixed.example.com", &[&["1.1.1.1", bad, "2606:4700::1111"]]);
        let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(status(&answer), 403, "{bad}");
        assert_eq!(rig.verdict().await, Verdict::Denied(Reason::PrivateAddress));
    }
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn metadata_services_are_never_reached() {
    let target = "metadata.example.com:80";
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "fe80::1",
        "224.0.0.1",
    ] {
        let rig = Rig::new(&[target]);
        rig.names
            .answer("metadata.example.com", &[&["127.0.0.1", address]]);
        let get = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let answer = rig.say(get).await;
        assert_eq!(status(&answer), 403, "{address}");
        assert_eq!(
            rig.verdict().await,
            Verdict::Denied(Reason::ForbiddenAddress)
        );
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_followed_by_the_next() {
    let mut peer = Peer::new().await;
    let target = peer.at("two.example.com");
    let rig = Rig::new(&[&target]);
    rig.names
        .answer("two.example.com", &[&["::1", "127.0.0.1"]]);
    let _client = rig.tunnel(&target).await;
    peer.accept().await;
}

#[tokio::test]
async fn what_is_allowed_and_unreachable_is_said_to_be() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let target = format!("down.example.com:{port}");
    let rig = Rig::new(&[&target]);
    let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert_eq!(rig.verdict().await, Verdict::Failed(Fault::Unreachable));

    let rig = Rig::new(&[&target]);
    rig.names.answer("down.example.com", &[]);
    let answer = rig.say(format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(answer.contains("its name has no address"), "{answer}");
    assert_eq!(rig.verdict().await, Verdict::Failed(Fault::NameNotFound));
}

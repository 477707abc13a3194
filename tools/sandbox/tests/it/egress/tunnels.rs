//! `CONNECT`.

use std::sync::Arc;

use pullwright_sandbox::egress::{EgressRules, Method, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::rig::{Rig, SHORT, local, read_all, read_head, rules, short, status};
use crate::bench::bounded;

#[tokio::test]
async fn bytes_go_both_ways_and_each_side_closes_for_itself() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let mut client = rig.tunnel(&target).await;
    let mut server = peer.accept().await;

    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, "question");
    server.write_all(b"the answer").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await, "the answer");

    let records = rig.finish().await;
    let first = &records[0];
    assert_eq!(first.verdict, Verdict::Allowed);
    assert_eq!(first.method, Method::Connect);
    assert_eq!(
        (first.host.as_str(), first.port),
        ("api.example.com", Some(peer.address.port()))
    );
    assert_eq!(first.address, Some(peer.address));
    assert_eq!(records.iter().map(|record| record.count).sum::<u64>(), 1);
    assert_eq!(records.iter().map(|record| record.sent).sum::<u64>(), 8);
    assert_eq!(
        records.iter().map(|record| record.received).sum::<u64>(),
        10
    );
}

#[tokio::test]
async fn what_is_said_before_the_tunnel_stands_goes_through_it() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let mut client = rig.connect().await;
    let eager = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nhello first");
    client.write_all(eager.as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut client).await), 200);
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut peer.accept().await).await, "hello first");
}

#[tokio::test]
async fn a_tunnel_has_no_body() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let answer = rig
            .say(format!("CONNECT {target} HTTP/1.1\r\n{field}\r\n\r\nhello"))
            .await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(answer.contains("ambiguous_length"), "{answer}");
    }
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn new_rules_end_the_tunnels_they_forbid_and_no_others() {
    let mut peer = Peer::new().await;
    let (kept, lost) = (peer.at("kept.example.com"), peer.at("lost.example.com"));
    let rig = Rig::new(&[&kept, &lost]);
    let mut keeping = rig.tunnel(&kept).await;
    let mut kept_server = peer.accept().await;
    let mut losing = rig.tunnel(&lost).await;
    let mut lost_server = peer.accept().await;

    rig.rules.send_replace(Arc::new(local(&[&kept])));

    assert_eq!(read_all(&mut losing).await, "");
    assert_eq!(read_all(&mut lost_server).await, "");
    keeping.write_all(b"x").await.unwrap();
    assert_eq!(bounded(kept_server.read_u8()).await.unwrap(), b'x');
    let answer = rig.say(format!("CONNECT {lost} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(status(&answer), 403, "{answer}");

    // What may no longer be in a private network is cut off as well.
    rig.rules.send_replace(Arc::new(rules(&[&kept])));
    assert_eq!(read_all(&mut keeping).await, "");

    rig.rules.send_replace(Arc::new(EgressRules::default()));
    let answer = rig.say(format!("CONNECT {kept} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(status(&answer), 403, "{answer}");
}

#[tokio::test]
async fn rules_whose_owner_is_gone_stay() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let Rig {
        proxy,
        address,
        rules,
        ..
    } = Rig::new(&[&target]);
    drop(rules);
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut client).await), 200);
    let mut server = peer.accept().await;
    server.write_all(b"x").await.unwrap();
    assert_eq!(bounded(client.read_u8()).await.unwrap(), b'x');
    drop(proxy);
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn stopping_ends_everything_and_tells_what_went_through() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let address = rig.address;
    let mut client = rig.tunnel(&target).await;
    let mut server = peer.accept().await;
    client.write_all(b"abc").await.unwrap();
    assert_eq!(bounded(server.read_u8()).await.unwrap(), b'a');

    let records = rig.finish().await;
    assert_eq!(records.iter().map(|record| record.sent).sum::<u64>(), 3);
    assert_eq!(read_all(&mut client).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::limited(&[&target], short(|limits| limits.idle = SHORT));
    let mut client = rig.tunnel(&target).await;
    let mut server = peer.accept().await;
    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(read_all(&mut server).await, "");
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_tunnel_along() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let mut rig = Rig::new(&[&target]);
    let client = rig.tunnel(&target).await;
    let mut server = peer.accept().await;
    assert_eq!(rig.record().await.count, 1);
    server.write_all(b"unread").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut server).await, "");
    drop(server);
    let ended = rig.record().await;
    assert_eq!((ended.verdict, ended.count), (Verdict::Allowed, 0));
}

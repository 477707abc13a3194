//! What a hostile client costs at most.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_sandbox::egress::{Fault, Reason, Resolver, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::Peer;
use super::rig::{Names, Rig, SHORT, local, read_all, read_head, short, status};
use crate::bench::bounded;

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_refused() {
    let rig = Rig::limited(&[], short(|limits| limits.head = SHORT));
    let mut client = rig.connect().await;
    let head = b"GET http://example.com/ HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut written = 0;
    // A byte at a time, until the proxy has enough of it.
    let answer = loop {
        let byte = &head[written % head.len()..][..1];
        written += 1;
        let mut answer = [0; 12];
        tokio::select! {
            read = client.read_exact(&mut answer) => {
                read.unwrap();
                break String::from_utf8_lossy(&answer).into_owned();
            }
            () = tokio::time::sleep(SHORT / 20) => client.write_all(byte).await.unwrap(),
        }
    };
    assert_eq!(status(&answer), 408);
    assert_eq!(rig.verdict().await, Verdict::Denied(Reason::HeadTimeout));
}

#[tokio::test]
async fn a_client_without_a_question_is_let_go() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let limits = short(|limits| (limits.head, limits.keep_alive) = (SHORT, SHORT));
    let rig = Rig::limited(&[&target], limits);
    assert_eq!(read_all(&mut rig.connect().await).await, "");

    let mut client = rig.connect().await;
    let get = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
    client.write_all(get.as_bytes()).await.unwrap();
    peer.answer(0, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(status(&read_head(&mut client).await), 204);
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_head_has_its_size() {
    let rig = Rig::new(&[]);
    let start = "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n";
    for head in [
        format!("{start}X-Long: {}\r\n\r\n", "a".repeat(70_000)),
        format!(
            "GET http://example.com/{} HTTP/1.1\r\n\r\n",
            "a".repeat(70_000)
        ),
        format!("{start}X-Endless: {}", "a".repeat(300_000)),
        format!("{start}{}\r\n", "X-Many: a\r\n".repeat(100)),
    ] {
        let answer = rig.say(&head).await;
        assert_eq!(status(&answer), 431, "{answer}");
    }
    let most = format!("{start}{}\r\n", "X-Many: a\r\n".repeat(99));
    assert_eq!(status(&rig.say(most).await), 403);
}

#[tokio::test]
async fn more_clients_than_allowed_wait_for_their_turn() {
    let rig = Rig::limited(&[], short(|limits| limits.connections = 2));
    let first = rig.connect().await;
    let _second = rig.connect().await;
    let mut third = rig.connect().await;
    third
        .write_all(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let waiting = tokio::time::timeout(SHORT, third.readable()).await;
    assert!(waiting.is_err(), "it was served beside two others");
    drop(first);
    assert_eq!(status(&read_all(&mut third).await), 403);
}

#[tokio::test]
async fn a_flood_of_denials_gives_few_records_and_blocks_nobody() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    for host in 0..300 {
        // Nobody takes the records, of which the channel holds 16.
        let flood = rig.say(format!(
            "CONNECT host{host}.evil.example:443 HTTP/1.1\r\n\r\n"
        ));
        assert_eq!(status(&flood.await), 403);
        let same = rig.say("CONNECT evil.example:443 HTTP/1.1\r\n\r\n");
        assert_eq!(status(&same.await), 403);
    }
    let mut client = rig.tunnel(&target).await;
    peer.accept().await.write_all(b"x").await.unwrap();
    assert_eq!(bounded(client.read_u8()).await.unwrap(), b'x');

    let records = rig.finish().await;
    let denied = records
        .iter()
        .filter(|record| record.verdict != Verdict::Allowed);
    assert_eq!(denied.map(|record| record.count).sum::<u64>(), 600);
    assert!(records.len() < 200, "{}", records.len());
    assert!(
        records
            .iter()
            .any(|record| record.host == "*" && record.count > 1)
    );
}

#[tokio::test]
async fn a_client_that_never_reads_its_refusal_is_dropped() {
    let rig = Rig::limited(&[], short(|limits| limits.connections = 1));
    let mut deaf = rig.connect().await;
    let head = "CONNECT example.com:443 HTTP/1.1\r\n\r\n";
    deaf.write_all(head.as_bytes()).await.unwrap();
    // The only place is free again, although that client stays.
    assert_eq!(status(&rig.say(head).await), 403);
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_not_waited_for() {
    let limits = short(|limits| limits.resolve = SHORT);
    let names = Arc::new(Names::default());
    let rig = Rig::with_resolver(local(&["slow.example"]), limits, names, Arc::new(Silent));
    let answer = rig.say("CONNECT slow.example:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(status(&answer), 504, "{answer}");
    assert_eq!(rig.verdict().await, Verdict::Failed(Fault::TimedOut));
}

struct Silent;

#[async_trait]
impl Resolver for Silent {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

//! Requests over plain HTTP.

use pullwright_sandbox::egress::{Fault, Method, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::Peer;
use super::rig::{Rig, SHORT, read_all, read_head, short, status};
use crate::bench::bounded;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_is_carried_without_what_is_meant_for_the_proxy() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let asking = rig.say(format!(
        "POST http://API.example.com.:{}/a/b?c=d HTTP/1.1\r\n\
         Host: {target}\r\n\
         Content-Length: 5\r\n\
         Connection: close, X-Secret, content-length\r\n\
         Proxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic eDp5\r\n\
         Proxy-Anything: x\r\n\
         Keep-Alive: timeout=5\r\n\
         TE: trailers\r\n\
         Trailer: X-T\r\n\
         Upgrade: websocket\r\n\
         X-Secret: s\r\n\
         X-Kept: k\r\n\r\n\
         hello",
        peer.address.port()
    ));
    let serving = peer.answer(
        5,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: h\r\nKeep-Alive: \
         a\r\nProxy-Authenticate: b\r\nX-Kept: k\r\n\r\nok",
    );
    let (answer, request) = tokio::join!(asking, serving);
    assert_eq!(
        request,
        format!(
            "POST /a/b?c=d HTTP/1.1\r\nhost: {target}\r\ncontent-length: 5\r\nx-kept: k\r\n\r\nhello"
        )
    );
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kept: k\r\nconnection: close\r\n\r\nok"
    );

    let records = rig.finish().await;
    assert_eq!(records[0].method, Method::Http);
    assert_eq!(records[0].verdict, Verdict::Allowed);
    assert_eq!(
        records.iter().map(|record| record.sent).sum::<u64>(),
        request.len() as u64
    );
}

#[tokio::test]
async fn each_request_of_a_connection_is_checked() {
    let mut peer = Peer::new().await;
    let (good, other) = (peer.at("good.example.com"), peer.at("other.example.com"));
    let rig = Rig::new(&[&good, &other]);
    let mut client = rig.connect().await;
    for target in [&good, &other, &good] {
        client.write_all(get(target).as_bytes()).await.unwrap();
        let request = peer.answer(0, OK).await;
        assert!(
            request.contains(&format!("host: {target}\r\n")),
            "{request}"
        );
        assert_eq!(status(&read_head(&mut client).await), 200);
        let mut body = [0; 2];
        client.read_exact(&mut body).await.unwrap();
    }
    client
        .write_all(get(&peer.at("evil.example.com")).as_bytes())
        .await
        .unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn requests_sent_ahead_are_checked_in_their_turn() {
    let mut peer = Peer::new().await;
    let good = peer.at("good.example.com");
    let rig = Rig::new(&[&good]);
    let evil = peer.at("evil.example.com");
    let asking = rig.say(format!("{}{}{}", get(&good), get(&evil), get(&good)));
    let (answers, _) = tokio::join!(asking, peer.answer(0, OK));
    let (first, second) = answers.split_once("ok").unwrap();
    assert_eq!(status(first), 200);
    assert_eq!(status(second), 403);
    assert!(second.contains("evil.example.com"), "{second}");
    assert!(!second.contains("ok"), "{second}");
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn a_body_is_no_second_request() {
    let mut peer = Peer::new().await;
    let good = peer.at("good.example.com");
    let rig = Rig::new(&[&good]);
    let inner = get(&peer.at("evil.example.com"));
    let asking = rig.say(format!(
        "POST http://{good}/ HTTP/1.1\r\nHost: {good}\r\nContent-Length: {}\r\n\r\n{inner}{}",
        inner.len(),
        get("evil.example.com"),
    ));
    let (answers, request) = tokio::join!(asking, peer.answer(inner.len(), OK));
    assert!(request.ends_with(&inner), "{request}");
    assert!(answers.contains(" 403 "), "{answers}");
}

#[tokio::test]
async fn a_redirect_is_left_to_the_client() {
    let mut peer = Peer::new().await;
    let good = peer.at("good.example.com");
    let evil = peer.at("169.254.169.254");
    let rig = Rig::new(&[&good]);
    let mut client = rig.connect().await;
    client.write_all(get(&good).as_bytes()).await.unwrap();
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{evil}/\r\nContent-Length: 0\r\n\r\n");
    peer.answer(0, redirect).await;
    let answer = read_head(&mut client).await;
    assert!(
        answer.contains(&format!("location: http://{evil}/")),
        "{answer}"
    );
    client.write_all(get(&evil).as_bytes()).await.unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn chunks_go_both_ways_and_end_the_connection() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let asking = rig.say(format!(
        "POST http://{target}/ HTTP/1.1\r\nHost: {target}\r\nTransfer-Encoding: \
         Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{}",
        get(&target)
    ));
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (answer, request) = tokio::join!(asking, peer.answer(13, answer));
    assert!(
        request.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{request}"
    );
    assert!(
        answer.ends_with("connection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        "{answer}"
    );
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn an_expectation_is_met_by_the_proxy() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let mut client = rig.connect().await;
    let head = format!(
        "PUT http://{target}/ HTTP/1.1\r\nHost: {target}\r\nContent-Length: 5\r\nExpect: \
         100-continue\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let client = async {
        assert_eq!(status(&read_head(&mut client).await), 100);
        client.write_all(b"hello").await.unwrap();
        read_head(&mut client).await
    };
    let (answer, request) = tokio::join!(client, peer.answer(5, OK));
    assert_eq!(status(&answer), 200);
    assert!(!request.contains("expect"), "{request}");
}

#[tokio::test]
async fn answers_without_a_body_or_without_a_length_keep_their_ends() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);

    let head = format!("HEAD http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let asking = rig.say(format!("{head}{}", get("evil.example.com")));
    let no_body = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let (answer, _) = tokio::join!(asking, peer.answer(0, no_body));
    let (first, second) = answer.split_once("\r\n\r\n").unwrap();
    assert!(first.contains("content-length: 1000"), "{first}");
    assert_eq!(status(second), 403);

    let asking = rig.say(format!("{}{}", get(&target), get("evil.example.com")));
    let until_close = "HTTP/1.1 200 OK\r\n\r\nuntil I close";
    let (answer, _) = tokio::join!(asking, peer.answer(0, until_close));
    assert!(
        answer.contains("D\r\nuntil I close\r\n0\r\n\r\nHTTP/1.1 403 "),
        "{answer}"
    );

    let old = format!("GET http://{target} HTTP/1.0\r\n\r\n");
    let (answer, request) = tokio::join!(rig.say(old), peer.answer(0, until_close));
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    assert!(answer.ends_with("\r\n\r\nuntil I close"), "{answer}");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_said_to() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    for nonsense in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ] {
        let rig = Rig::new(&[&target]);
        let asking = rig.say(get(&target));
        let (answer, _) = tokio::join!(asking, peer.answer(0, nonsense));
        assert_eq!(status(&answer), 502, "{nonsense}: {answer}");
        assert!(!answer.contains("raw"), "{answer}");
        let records = rig.finish().await;
        let failed = records
            .iter()
            .filter(|record| record.verdict == Verdict::Failed(Fault::BadAnswer));
        assert_eq!(failed.count(), 1, "{records:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let (answer, _) = tokio::join!(rig.say(get(&target)), peer.answer(0, broken));
    assert!(answer.contains("hello"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_large_body_goes_through_whole() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::new(&[&target]);
    let body = "x".repeat(3_000_000);
    let asking = rig.say(format!(
        "POST http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (answer, request) = tokio::join!(asking, peer.answer(body.len(), answer));
    assert!(request.ends_with(&body) && answer.ends_with(&body));
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    let rig = Rig::limited(&[&target], short(|limits| limits.idle = SHORT));
    let mut client = rig.connect().await;
    client.write_all(get(&target).as_bytes()).await.unwrap();
    let mut server = peer.accept().await;
    assert_eq!(status(&read_all(&mut client).await), 504);
    let mut rest = Vec::new();
    bounded(server.read_to_end(&mut rest)).await.unwrap();
}

fn get(target: &str) -> String {
    format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

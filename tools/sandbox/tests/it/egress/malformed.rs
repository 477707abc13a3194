//! Requests that two readers could read in two ways.

use proptest::prelude::*;
use pullwright_sandbox::egress::{Reason, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::peer::Peer;
use super::rig::{Rig, read_all, status};
use crate::bench::bounded;

/// `HOST` is an allowed host with its port.
const CASES: &[(&str, Reason)] = &[
    // Two lengths.
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3, 3\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    // Odd lengths.
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: +3\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: -3\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x3\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: \r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    (
        "POST http://HOST/ HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reason::AmbiguousLength,
    ),
    // Names and lines.
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length : 3\r\n\r\nabc",
        Reason::MalformedRequest,
    ),
    (
        "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX-A: 1\r\n Content-Length: 3\r\n\r\nabc",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX-A:\r\n\tfolded\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\n Host: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nno colon\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n: no name\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX-A: a\0b\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX\0A: b\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX-A: a\x0bb\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\nHost: HOST\n\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\nX-A: b\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\rX-A: b\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "\r\nGET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    ("\r\n\r\n", Reason::MalformedRequest),
    // The first line.
    (
        "GET  http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.1 \r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET\thttp://HOST/\tHTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/a b HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/1.2\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/ HTTP/2.0\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    ("GET http://HOST/\r\n\r\n", Reason::MalformedRequest),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason::MalformedRequest),
    (
        "GET http://HOST/ü HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://HOST/#a HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "GET http://evil.example\\@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    (
        "G(T http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::MalformedRequest,
    ),
    ("\x16\x03\x01\x02\0\x01", Reason::MalformedRequest),
    // Other forms.
    ("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n", Reason::RequestForm),
    (
        "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "GET HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "GET //HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "GET https://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "GET ftp://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "GET file:///etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "connect HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::RequestForm,
    ),
    (
        "CONNECT http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::BadPort,
    ),
    ("CONNECT / HTTP/1.1\r\nHost: HOST\r\n\r\n", Reason::BadPort),
    (
        "GET http:///path HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::BadHost,
    ),
    (
        "GET http://user:pass@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        Reason::UserInfo,
    ),
    // Another host.
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: x@HOST\r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nhost: evil.example\r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: \r\n\r\n",
        Reason::HostMismatch,
    ),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: \u{ff}\r\n\r\n",
        Reason::HostMismatch,
    ),
    ("GET http://HOST/ HTTP/1.1\r\n\r\n", Reason::HostMismatch),
    (
        "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nExpect: the moon\r\n\r\n",
        Reason::MalformedRequest,
    ),
];

#[tokio::test]
async fn every_one_is_refused_and_reaches_no_server() {
    let mut peer = Peer::new().await;
    let target = peer.at("api.example.com");
    for (request, reason) in CASES {
        let rig = Rig::new(&[&target]);
        let answer = rig.say(request.replace("HOST", &target)).await;
        assert_eq!(status(&answer), 400, "{request:?}: {answer}");
        assert!(answer.contains(reason.as_str()), "{request:?}: {answer}");
        assert_eq!(rig.names.asked(), [""; 0], "{request:?}");
        assert_eq!(rig.verdict().await, Verdict::Denied(*reason), "{request:?}");
    }
    assert!(peer.is_untouched());
}

#[tokio::test]
async fn what_a_client_sent_is_shown_in_printable_characters() {
    let mut rig = Rig::new(&[]);
    let answer = rig.say("GET \x1b[31mred\u{fc}\x07 HTTP/1.1\r\n\r\n").await;
    let shown = r"GET \x1b[31mred\xc3\xbc\x07 HTTP/1.1";
    assert!(answer.contains(&format!("refused `{shown}`: ")), "{answer}");
    let record = rig.record().await;
    assert_eq!((record.host.as_str(), record.port), (shown, None));

    let answer = rig
        .say(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(60_000)))
        .await;
    assert!(answer.len() < 1000, "{answer}");
    assert!(rig.record().await.host.len() < 300);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in a request, a server sees requests that name it, one a connection, and
    /// nothing after their ends.
    #[test]
    fn a_server_sees_one_request_of_its_own(base in 0..TEMPLATES.len(), edits in edits()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for seen in runtime.block_on(what_arrives(TEMPLATES[base], &edits)) {
            let (host, seen) = seen;
            let (head, body) = seen.split_once("\r\n\r\n").expect("half a head");
            let fields: Vec<_> = head.lines().skip(1).map(str::to_ascii_lowercase).collect();
            let hosts: Vec<_> = fields.iter().filter(|line| line.starts_with("host:")).collect();
            prop_assert_eq!(hosts, [&format!("host: {host}")], "{}", seen);
            let length = fields.iter().find_map(|line| line.strip_prefix("content-length: "));
            let is_chunked = fields.contains(&"transfer-encoding: chunked".to_owned());
            prop_assert!(!(is_chunked && length.is_some()), "{}", seen);
            match is_chunked {
                true => prop_assert!(is_at_most_one_chunked_body(body), "{}", seen),
                false => {
                    let length = length.map_or(0, |length| length.parse().unwrap());
                    prop_assert!(body.len() <= length, "{}", seen);
                }
            }
        }
    }
}

const TEMPLATES: &[&str] = &[
    "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
];

fn edits() -> impl Strategy<Value = Vec<(usize, &'static str)>> {
    let text = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "\0",
        " ",
        "\t",
        ":",
        ",",
        "0",
        "3",
        "\r\n ",
        "@",
        "\\",
        "#",
        "?",
        "\r\nContent-Length: 40",
        "\r\nTransfer-Encoding: chunked",
        "\r\nHost: evil.example",
        "\r\nConnection: host, content-length, transfer-encoding",
        "\r\nConnection: close",
        "\r\nUpgrade: h2c",
        "evil.example",
        "http://evil.example/",
        "\r\nExpect: 100-continue",
        "\u{a0}",
        ";a=b",
        "\r\n0\r\n\r\n",
    ]);
    prop::collection::vec((0_usize..200, text), 0..4)
}

/// The requests that a server got, with the name by which it is allowed.
async fn what_arrives(template: &str, edits: &[(usize, &str)]) -> Vec<(String, String)> {
    let mut peer = Peer::new().await;
    let host = peer.at("api.example.com");
    let mut request = template.replace("HOST", &host);
    for (place, text) in edits {
        let mut place = place % request.len();
        while !request.is_char_boundary(place) {
            place -= 1;
        }
        request.insert_str(place, text);
    }
    let rig = Rig::new(&[&host]);
    let mut client = rig.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let (send, mut arrived) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut stream = peer.accept().await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            let mut bytes = Vec::new();
            // A reset is an end as well.
            let _ = bounded(stream.read_to_end(&mut bytes)).await;
            // A character for each byte, so that lengths stay what they are.
            let plain = |byte: &u8| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '?'
                }
            };
            let bytes: String = bytes.iter().map(plain).collect();
            send.send(bytes).unwrap();
        }
    });
    read_all(&mut client).await;
    let records = rig.finish().await;
    let allowed = records
        .iter()
        .filter(|record| record.verdict == Verdict::Allowed);
    let mut seen = Vec::new();
    for _ in 0..allowed.map(|record| record.count).sum::<u64>() {
        seen.push((host.clone(), bounded(arrived.recv()).await.unwrap()));
    }
    // What hyper would not read, no server has seen.
    seen.retain(|(_, bytes)| !bytes.is_empty());
    seen
}

/// Reads chunk by chunk, since a chunk may hold what looks like the end. A body may be cut off.
fn is_at_most_one_chunked_body(mut body: &str) -> bool {
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = size.split(';').next().unwrap_or_default();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            return false;
        };
        if size == 0 {
            return "\r\n".starts_with(rest);
        }
        let Some(after) = rest.get(size..).filter(|after| after.len() > 1) else {
            return true;
        };
        let Some(next) = after.strip_prefix("\r\n") else {
            return false;
        };
        body = next;
    }
    true
}

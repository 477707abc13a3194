//! Requests that two readers could read in two ways.

use pullwright_sandbox::egress::{Reason, Verdict};

use super::peer::Peer;
use super::rig::{Rig, status};

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

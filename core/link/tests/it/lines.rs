//! A line peer against a hand-driven far side.

use std::sync::Arc;

use pullwright_link::{LineLimits, LinePeer, RpcError, RpcPeer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

use crate::fixture::{bounded, params};

struct FarSide {
    input: BufReader<ReadHalf<DuplexStream>>,
    output: WriteHalf<DuplexStream>,
}

impl FarSide {
    async fn request(&mut self) -> Value {
        let mut line = String::new();
        bounded(self.input.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    async fn say(&mut self, line: &str) {
        self.output.write_all(line.as_bytes()).await.unwrap();
        self.output.write_all(b"\n").await.unwrap();
    }
}

fn connect(limits: LineLimits) -> (Arc<LinePeer>, FarSide) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let (our_input, our_output) = tokio::io::split(ours);
    let (input, output) = tokio::io::split(theirs);
    let peer = LinePeer::with_limits("far", our_output, our_input, limits);
    let input = BufReader::new(input);
    (Arc::new(peer), FarSide { input, output })
}

fn few_limits() -> LineLimits {
    LineLimits {
        max_line_bytes: 10_000,
        max_junk_lines: 3,
        ..LineLimits::default()
    }
}

fn start_call(peer: &Arc<LinePeer>, method: &'static str) -> Pending {
    let peer = Arc::clone(peer);
    tokio::spawn(async move {
        peer.call(method, &params([1]))
            .await
            .map(|answer| answer.get().to_owned())
    })
}

type Pending = tokio::task::JoinHandle<Result<String, RpcError>>;

fn closed_reason(error: RpcError) -> String {
    match error {
        RpcError::Closed { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn answers_out_of_order_reach_their_callers() {
    let (peer, mut far) = connect(few_limits());
    let first = start_call(&peer, "first");
    let one = far.request().await;
    let second = start_call(&peer, "second");
    let two = far.request().await;
    assert_eq!(
        (&one["method"], &two["method"]),
        (&"first".into(), &"second".into())
    );
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":"b"}}"#,
        two["id"]
    ))
    .await;
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":null}}"#,
        one["id"]
    ))
    .await;
    assert_eq!(bounded(first).await.unwrap().unwrap(), "null");
    assert_eq!(bounded(second).await.unwrap().unwrap(), r#""b""#);
}

#[tokio::test]
async fn a_request_is_one_line_even_if_its_parameters_are_not() {
    let (peer, mut far) = connect(few_limits());
    let call = tokio::spawn(async move {
        let pretty =
            serde_json::value::RawValue::from_string("[\n1,\r\n\"a\\nb\"]".into()).unwrap();
        peer.call("echo", &pretty).await.map(drop)
    });
    let request = far.request().await;
    assert_eq!(request["params"], serde_json::json!([1, "a\nb"]));
    call.abort();
}

#[tokio::test]
async fn the_end_of_the_peer_fails_what_waits_and_what_comes() {
    let (peer, mut far) = connect(few_limits());
    let call = start_call(&peer, "never");
    far.request().await;
    drop(far);
    let reason = closed_reason(bounded(call).await.unwrap().unwrap_err());
    assert_eq!(reason, "its output ended");
    let later = bounded(peer.call("later", &params([1]))).await.unwrap_err();
    closed_reason(later);
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_its_peer_dies() {
    let (peer, mut far) = connect(few_limits());
    let subscribing = {
        let peer = Arc::clone(&peer);
        tokio::spawn(async move { peer.subscribe("s", &params([1]), "u").await })
    };
    let request = far.request().await;
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":"sub-1"}}"#,
        request["id"]
    ))
    .await;
    far.say(r#"{"jsonrpc":"2.0","method":"n","params":{"subscription":"sub-1","result":[7]}}"#)
        .await;
    let mut stream = bounded(subscribing).await.unwrap().unwrap();
    assert_eq!(bounded(stream.next()).await.unwrap().unwrap().get(), "[7]");
    drop(far);
    closed_reason(bounded(stream.next()).await.unwrap().unwrap_err());
    assert!(bounded(stream.next()).await.is_none());
}

#[tokio::test]
async fn an_error_notification_is_the_last_of_its_stream() {
    let (peer, mut far) = connect(few_limits());
    let subscribing = tokio::spawn(async move { peer.subscribe("s", &params([1]), "u").await });
    let request = far.request().await;
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":9}}"#,
        request["id"]
    ))
    .await;
    far.say(r#"{"jsonrpc":"2.0","method":"n","params":{"subscription":9,"error":"no more"}}"#)
        .await;
    let mut stream = bounded(subscribing).await.unwrap().unwrap();
    let error = bounded(stream.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no more"), "{error}");
    assert!(bounded(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_subscription_accepted_after_its_caller_left_is_unsubscribed() {
    let (peer, mut far) = connect(few_limits());
    let subscribing = {
        let peer = Arc::clone(&peer);
        tokio::spawn(async move { peer.subscribe("s", &params([1]), "stop").await })
    };
    let request = far.request().await;
    subscribing.abort();
    assert!(subscribing.await.unwrap_err().is_cancelled());
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":41}}"#,
        request["id"]
    ))
    .await;
    let unsubscribe = far.request().await;
    assert_eq!(unsubscribe["method"], "stop");
    assert_eq!(unsubscribe["params"], serde_json::json!([41]));
}

#[tokio::test]
async fn some_garbage_is_skipped() {
    let (peer, mut far) = connect(few_limits());
    for _ in 0..3 {
        let call = start_call(&peer, "echo");
        let request = far.request().await;
        far.say("starting up…").await;
        far.say(r#"{"level":"info","msg":"a log line"}"#).await;
        far.say(r#"{"jsonrpc":"2.0","method":"other/notification","params":{}}"#)
            .await;
        far.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#,
            request["id"]
        ))
        .await;
        assert_eq!(bounded(call).await.unwrap().unwrap(), "1");
    }
}

#[tokio::test]
async fn endless_garbage_closes_the_connection() {
    for junk in [
        "nonsense\n",
        "{\"level\":\"info\"}\n",
        "\n",
        "{\"jsonrpc\":\"2.0\",\n",
    ] {
        let (peer, mut far) = connect(few_limits());
        let call = start_call(&peer, "echo");
        far.request().await;
        let flood =
            tokio::spawn(
                async move { while far.output.write_all(junk.as_bytes()).await.is_ok() {} },
            );
        let reason = closed_reason(bounded(call).await.unwrap().unwrap_err());
        assert!(
            reason.contains("in a row are not JSON-RPC messages"),
            "{reason}"
        );
        bounded(flood).await.ok();
        drop(peer);
    }
}

#[tokio::test]
async fn a_huge_line_closes_the_connection() {
    let (peer, mut far) = connect(few_limits());
    let call = start_call(&peer, "echo");
    let request = far.request().await;
    let huge = "x".repeat(20_000);
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":"{huge}"}}"#,
        request["id"]
    );
    tokio::spawn(async move { far.output.write_all(line.as_bytes()).await });
    let reason = closed_reason(bounded(call).await.unwrap().unwrap_err());
    assert_eq!(reason, "a line is longer than 10000 bytes");
}

#[tokio::test]
async fn half_a_message_is_not_an_answer() {
    let (peer, mut far) = connect(few_limits());
    let call = start_call(&peer, "echo");
    let request = far.request().await;
    let half = format!(r#"{{"jsonrpc":"2.0","id":{},"result":1}}"#, request["id"]);
    far.output.write_all(half.as_bytes()).await.unwrap();
    drop(far);
    let reason = closed_reason(bounded(call).await.unwrap().unwrap_err());
    assert_eq!(reason, "its output ended in the middle of a message");
}

#[tokio::test]
async fn answers_for_nobody_are_ignored() {
    let (peer, mut far) = connect(few_limits());
    let call = start_call(&peer, "echo");
    let request = far.request().await;
    far.say(r#"{"jsonrpc":"2.0","id":987654,"result":1}"#).await;
    far.say(r#"{"jsonrpc":"2.0","method":"n","params":{"subscription":"unknown","result":[7]}}"#)
        .await;
    far.say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":2}}"#,
        request["id"]
    ))
    .await;
    assert_eq!(bounded(call).await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn dropping_the_peer_closes_its_input() {
    let (peer, mut far) = connect(few_limits());
    drop(peer);
    let mut rest = String::new();
    assert_eq!(bounded(far.input.read_line(&mut rest)).await.unwrap(), 0);
}

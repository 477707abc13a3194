//! What every link promises.

use std::sync::atomic::Ordering;

use pullwright_link::{InProcessPeer, RpcError};

use crate::fixture::{bounded, line_peer, module, params, peers};

#[tokio::test]
async fn a_call_is_answered() {
    for (peer, _) in peers() {
        let answer = bounded(peer.call("echo", &params(serde_json::json!({ "a": [1, "é\n"] }))))
            .await
            .unwrap();
        assert_eq!(answer.get(), r#"{"a":[1,"é\n"]}"#);
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_words() {
    for (peer, _) in peers() {
        let error = bounded(peer.call("refuse", &params([0; 0])))
            .await
            .unwrap_err();
        let RpcError::Refused {
            code,
            message,
            method,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((code, method.as_str()), (-7, "refuse"));
        assert_eq!(message, r#"not today: "because""#);
    }
}

#[tokio::test]
async fn an_unknown_method_is_refused() {
    for (peer, _) in peers() {
        let error = bounded(peer.call("nothing", &params([0; 0])))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("refused nothing"), "{error}");
    }
}

#[tokio::test]
async fn a_rejected_subscription_is_an_error() {
    for (peer, _) in peers() {
        let error = bounded(peer.subscribe("count", &params("x"), "count.stop"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("count wants one number"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_nothing() {
    const COUNT: u64 = 100_000;
    for (peer, probe) in peers() {
        let mut stream = peer
            .subscribe("count", &params([COUNT]), "count.stop")
            .await
            .unwrap();
        bounded(async {
            for number in 0..COUNT {
                if number % 1000 == 0 {
                    let_the_producer_run_into_us().await;
                }
                let message = stream.next().await.unwrap().unwrap();
                assert_eq!(message.get(), number.to_string());
            }
        })
        .await;
        assert_eq!(probe.sent.load(Ordering::SeqCst), COUNT);
    }
}

async fn let_the_producer_run_into_us() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_producer_waits_for_a_reader_that_does_not_read() {
    let (module, probe) = module();
    let peer = InProcessPeer::new("near", module);
    let stream = {
        use pullwright_link::RpcPeer;
        peer.subscribe("count", &params([1_000_000]), "count.stop")
            .await
            .unwrap()
    };
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let sent = probe.sent.load(Ordering::SeqCst);
    assert!(
        (1..=65).contains(&sent),
        "{sent} messages were sent into the buffer"
    );
    drop(stream);
}

#[tokio::test]
async fn dropping_a_subscription_stops_its_producer() {
    for (peer, probe) in peers() {
        let mut stream = peer
            .subscribe("count", &params([u64::MAX]), "count.stop")
            .await
            .unwrap();
        bounded(stream.next()).await.unwrap().unwrap();
        drop(stream);
        probe.until_stopped().await;
        let answer = bounded(peer.call("echo", &params(["alive"])))
            .await
            .unwrap();
        assert_eq!(answer.get(), r#"["alive"]"#);
    }
}

#[tokio::test]
async fn dropping_a_blocked_subscription_frees_the_other_streams_of_the_peer() {
    for (peer, probe) in peers() {
        let stream = peer
            .subscribe("count", &params([u64::MAX]), "count.stop")
            .await
            .unwrap();
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        drop(stream);
        probe.until_stopped().await;
        let mut other = bounded(peer.subscribe("count", &params([3]), "count.stop"))
            .await
            .unwrap();
        assert_eq!(bounded(other.next()).await.unwrap().unwrap().get(), "0");
    }
}

#[tokio::test]
async fn a_stream_may_outlive_its_peer() {
    let (module, _) = module();
    let peer = line_peer(module);
    let mut stream = {
        use pullwright_link::RpcPeer;
        peer.subscribe("count", &params([2000]), "count.stop")
            .await
            .unwrap()
    };
    drop(peer);
    for number in 0..2000 {
        let message = bounded(stream.next()).await.unwrap().unwrap();
        assert_eq!(message.get(), number.to_string());
    }
}

#[tokio::test]
async fn in_process_the_stream_ends_with_its_producer() {
    let (module, _) = module();
    let peer = InProcessPeer::new("near", module);
    let mut stream = {
        use pullwright_link::RpcPeer;
        peer.subscribe("count", &params([1]), "count.stop")
            .await
            .unwrap()
    };
    assert!(bounded(stream.next()).await.is_some());
    assert!(bounded(stream.next()).await.is_none());
}

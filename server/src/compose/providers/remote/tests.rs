use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers no question, or each.
struct Scripted {
    hangs: bool,
}

fn timed_out() -> RpcError {
    RpcError::TimedOut {
        peer: "plugin".to_owned(),
        method: "m".to_owned(),
        seconds: 60,
    }
}

#[async_trait]
impl RpcPeer for Scripted {
    async fn call(&self, _: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        match self.hangs {
            true => Err(timed_out()),
            false => Ok(params.to_owned()),
        }
    }

    async fn subscribe(&self, _: &str, _: &RawValue, _: &str) -> Result<RpcSubscription, RpcError> {
        match self.hangs {
            true => Err(timed_out()),
            false => Ok(RpcSubscription::new(stream::pending())),
        }
    }
}

/// Counts what was opened and ended.
#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    ended: AtomicUsize,
}

impl Counts {
    fn seen(&self) -> (usize, usize) {
        let [opened, ended] = [&self.opened, &self.ended].map(|count| count.load(Ordering::SeqCst));
        (opened, ended)
    }
}

struct EndOnDrop(Arc<Counts>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// A plugin whose first process hangs, and whose later ones do not.
fn plugin(counts: &Arc<Counts>) -> RemotePeer {
    let counts = Arc::clone(counts);
    let connect = move || {
        let open = Open {
            peer: Box::new(Scripted {
                hangs: counts.opened.fetch_add(1, Ordering::SeqCst) == 0,
            }),
            guard: Box::new(EndOnDrop(Arc::clone(&counts))),
        };
        async move { Ok(open) }.boxed()
    };
    RemotePeer::with("plugin", Box::new(connect))
}

#[tokio::test]
async fn a_plugin_that_does_not_answer_is_ended_and_the_next_question_starts_it_anew() {
    let counts = Arc::new(Counts::default());
    let plugin = plugin(&counts);
    assert_eq!(
        plugin.call("m", RawValue::NULL).await.unwrap_err(),
        timed_out()
    );
    assert_eq!(counts.seen(), (1, 1));
    assert!(plugin.call("m", RawValue::NULL).await.is_ok());
    assert!(plugin.call("m", RawValue::NULL).await.is_ok());
    assert_eq!(counts.seen(), (2, 1));
}

#[tokio::test]
async fn a_plugin_that_accepts_no_stream_is_ended_too() {
    let counts = Arc::new(Counts::default());
    let plugin = plugin(&counts);
    let subscribed = plugin.subscribe("m", RawValue::NULL, "u").await;
    assert_eq!(subscribed.unwrap_err(), timed_out());
    assert_eq!(counts.seen(), (1, 1));
    let stream = plugin.subscribe("m", RawValue::NULL, "u").await.unwrap();
    drop(plugin);
    assert_eq!(counts.seen(), (2, 1), "a stream keeps it");
    drop(stream);
    assert_eq!(counts.seen(), (2, 2));
}

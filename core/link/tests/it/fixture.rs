//! A module whose producer counts, and the server side of a line peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jsonrpsee::core::{RpcResult, server::SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{Methods, RpcModule};
use pullwright_link::{InProcessPeer, LinePeer, RpcPeer, to_params};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Notify, mpsc};

/// What the module's producer is doing.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) sent: AtomicU64,
    pub(crate) stopped: AtomicBool,
    pub(crate) changed: Notify,
}

impl Probe {
    /// Waits until the producer has noticed its cancellation.
    pub(crate) async fn until_stopped(&self) {
        let stopped = async {
            loop {
                let changed = self.changed.notified();
                if self.stopped.load(Ordering::SeqCst) {
                    return;
                }
                changed.await;
            }
        };
        bounded(stopped).await;
    }
}

struct Stopped(Arc<Probe>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// `echo`, `refuse`, and `count`, a subscription of so many numbers.
pub(crate) fn module() -> (RpcModule<Arc<Probe>>, Arc<Probe>) {
    let probe = Arc::new(Probe::default());
    let mut module = RpcModule::from_arc(Arc::new(Arc::clone(&probe)));
    module
        .register_method("echo", |params, _, _| -> RpcResult<serde_json::Value> {
            params.parse()
        })
        .unwrap();
    module
        .register_method("refuse", |_, _, _| -> RpcResult<()> {
            Err(ErrorObjectOwned::owned(-7, "not today", Some("because")))
        })
        .unwrap();
    module
        .register_subscription(
            "count",
            "count.next",
            "count.stop",
            |params, pending, probe, _| async move {
                let Ok([count]) = params.parse::<[u64; 1]>() else {
                    pending
                        .reject(ErrorObjectOwned::owned(
                            -3,
                            "count wants one number",
                            None::<()>,
                        ))
                        .await;
                    return;
                };
                let sink = pending.accept().await.unwrap();
                let _stopped = Stopped(Arc::clone(&probe));
                let work = async {
                    for number in 0..count {
                        let id = sink.subscription_id();
                        let message = SubscriptionMessage::new("count.next", id, &number).unwrap();
                        if sink.send(message).await.is_err() {
                            return;
                        }
                        probe.sent.fetch_add(1, Ordering::SeqCst);
                    }
                };
                tokio::select! { () = work => {}, () = sink.closed() => {} }
            },
        )
        .unwrap();
    (module, probe)
}

/// The same module behind both links.
pub(crate) fn peers() -> Vec<(Box<dyn RpcPeer>, Arc<Probe>)> {
    let (near, near_probe) = module();
    let (far, far_probe) = module();
    vec![
        (Box::new(InProcessPeer::new("near", near)), near_probe),
        (Box::new(line_peer(far)), far_probe),
    ]
}

pub(crate) fn line_peer(module: impl Into<Methods>) -> LinePeer {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (their_input, their_output) = tokio::io::split(theirs);
    tokio::spawn(serve(module.into(), their_input, their_output));
    let (our_input, our_output) = tokio::io::split(ours);
    LinePeer::new("far", our_output, our_input)
}

/// Serves lines: a task per request, one writer.
pub(crate) async fn serve(
    methods: Methods,
    input: impl AsyncRead + Send + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Unpin + 'static,
) {
    let (sender, mut messages) = mpsc::channel::<Box<RawValue>>(64);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let line = format!("{message}\n");
            if output.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (methods, sender) = (methods.clone(), sender.clone());
        tokio::spawn(async move {
            let (answer, mut stream) = methods.raw_json_request(&line, 16).await.unwrap();
            drop(sender.send(answer).await);
            while let Some(message) = stream.recv().await {
                drop(sender.send(message).await);
            }
        });
    }
}

pub(crate) fn params(value: impl serde::Serialize) -> Box<RawValue> {
    to_params(&value).unwrap()
}

/// Nothing here takes long; a hang must fail, not hang.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}

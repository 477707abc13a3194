//! One open instance: a tool server on a thread and a runtime of its own.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use pullwright_protocol::abi::Host;
use tokio_util::sync::CancellationToken;

use super::bridge::{Outside, Sender, bridge};
use crate::server::{ToolServer, serve};

/// How long a tool may take to notice that its instance ends, before it is left behind.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A tool server whose host is another program's.
pub(super) struct Instance {
    sender: Sender,
    outside: Arc<Outside>,
    stop: CancellationToken,
    ended: blocking::Receiver<()>,
}

impl Instance {
    /// Starts the server; nothing if there is no thread for it.
    pub(super) fn start<S: Send + Sync + 'static>(
        host: Host,
        server: ToolServer<S>,
    ) -> Option<Self> {
        let outside = Arc::new(Outside::new(host));
        let (sender, ends) = bridge(&outside);
        let stop = CancellationToken::new();
        let (ending, ended) = blocking::channel();
        let (told, stopping) = (Arc::clone(&outside), stop.clone());
        // A runtime of its own: tokio's is another one in the host, and neither knows the other.
        let arrivals = sender.arrivals();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || arrivals.look())
            .build()
            .ok()?;
        let work = move || {
            runtime.block_on(async {
                let (read, write, pumps) = ends.open();
                tokio::select! {
                    served = serve(server, read, write) => {
                        if let Err(error) = served {
                            tracing::warn!(%error, "the tool server of a library ended");
                        }
                    }
                    () = pumps => {}
                    () = stopping.cancelled() => {}
                }
            });
            told.ended();
            // Blocking work of tools is left behind; it can reach nobody any more.
            runtime.shutdown_background();
            let _ = ending.send(());
        };
        let name = "pullwright-plugin".to_owned();
        thread::Builder::new().name(name).spawn(work).ok()?;
        Some(Self {
            sender,
            outside,
            stop,
            ended,
        })
    }

    /// Takes a message over, or says that there is no room for it.
    pub(super) fn send(&self, message: &[u8]) -> c_int {
        self.sender.send(message)
    }

    /// Ends the server, and calls the host no more.
    pub(super) fn stop(self) {
        self.outside.silence();
        self.stop.cancel();
        let _ = self.ended.recv_timeout(STOP_LIMIT);
    }
}

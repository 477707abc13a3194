//! The connections of clients, which can be broken off.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::tasks::Tasks;

/// How much of each direction is under way between a connection and who serves it.
const BUFFER_BYTES: usize = 64 * 1024;

/// Takes connections, and passes what comes on them on.
pub(crate) struct Connections {
    listener: TcpListener,
    breaks: watch::Receiver<u64>,
    tasks: Tasks,
}

/// Breaks connections off.
#[derive(Debug)]
pub(crate) struct Breaker(watch::Sender<u64>);

impl Connections {
    pub(crate) fn new(listener: TcpListener, tasks: Tasks) -> (Self, Breaker) {
        let (breaker, breaks) = watch::channel(0);
        let connections = Self {
            listener,
            breaks,
            tasks,
        };
        (connections, Breaker(breaker))
    }
}

impl Breaker {
    /// Breaks off all connections that there are.
    pub(crate) fn break_off(&self) {
        self.0.send_modify(|breaks| *breaks += 1);
    }
}

impl Listener for Connections {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let (served, passed) = duplex(BUFFER_BYTES);
        let mut breaks = self.breaks.clone();
        breaks.mark_unchanged();
        self.tasks.spawn(pass(stream, passed, breaks));
        (served, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn pass(mut stream: TcpStream, mut served: DuplexStream, mut breaks: watch::Receiver<u64>) {
    // An answer must not wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let is_broken = tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut served) => false,
        _ = breaks.changed() => true,
    };
    if is_broken {
        // What is under way is lost, too: the client hears of a reset, not of an end.
        let _ = stream.set_zero_linger();
    }
}

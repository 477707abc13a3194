//! A server on this machine.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::rig::LOOPBACK;
use crate::bench::bounded;

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    connections: mpsc::UnboundedReceiver<TcpStream>,
}

impl Peer {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if send.send(stream).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// A host with the peer's port.
    pub(crate) fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.address.port())
    }

    /// The next connection to it.
    pub(crate) async fn accept(&mut self) -> TcpStream {
        bounded(self.connections.recv()).await.unwrap()
    }

    /// Whether nobody has connected.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.connections.try_recv().is_err()
    }

    /// Takes one request with a body of this length, and answers.
    pub(crate) async fn answer(&mut self, body: usize, answer: impl AsRef<[u8]>) -> String {
        let mut stream = self.accept().await;
        let mut request = super::rig::read_head(&mut stream).await;
        let mut bytes = vec![0; body];
        bounded(stream.read_exact(&mut bytes)).await.unwrap();
        stream.write_all(answer.as_ref()).await.unwrap();
        request.push_str(&String::from_utf8(bytes).unwrap());
        request
    }
}

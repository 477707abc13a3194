//! A tunnel: bytes both ways.

use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use super::inbound::Inbound;
use super::limits::COPY_BYTES;
use super::meter::Metered;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Carries bytes until both sides have said all, or one has gone. What the client sent before it
/// was told that it may goes first.
pub(super) async fn tunnel(client: &mut Inbound, mut server: Metered<TcpStream>) {
    if client.write_all(ESTABLISHED).await.is_err() {
        return;
    }
    // How it ends is the business of the two sides; the bytes are counted on the way.
    let _ = copy_bidirectional_with_sizes(client, &mut server, COPY_BYTES, COPY_BYTES).await;
}

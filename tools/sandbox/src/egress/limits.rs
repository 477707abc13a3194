//! What a hostile client, or a server that hangs, can cost at most.

use std::time::Duration;

/// More clients wait to be accepted; each costs a descriptor or two and its buffers.
const MAX_CONNECTIONS: usize = 256;

/// A longer head is refused, so that one does not fill the memory.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// More header lines are refused: hyper, which reads them again, takes no more.
pub(super) const MAX_HEADERS: usize = 100;

/// A client that sends its head slower holds a connection for nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that keeps its connection without a next request holds it for nothing.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A name server that does not answer.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// An address that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A name with many addresses that do not answer.
pub(super) const MAX_ADDRESSES: usize = 8;

/// A tunnel or an answer without a byte for this long is dead. Longer than the pause of a server
/// that computes an answer, such as a registry that packs an archive.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A client that does not take its refusal, or goes on sending what nobody reads.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// As above: what is read of it before it is cut off.
pub(super) const MAX_LINGER_BYTES: u64 = 256 * 1024;

/// What is copied at once. Two of these for each tunnel.
pub(super) const COPY_BYTES: usize = 16 * 1024;

/// The limits of one proxy that are not the same in tests.
#[derive(Debug, Clone)]
pub struct EgressLimits {
    /// Clients at once.
    pub connections: usize,
    /// To send the head of a request.
    pub head: Duration,
    /// Until the next request of a connection.
    pub keep_alive: Duration,
    /// To look a name up.
    pub resolve: Duration,
    /// To connect to one address.
    pub connect: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            head: HEAD_TIMEOUT,
            keep_alive: KEEP_ALIVE_TIMEOUT,
            resolve: RESOLVE_TIMEOUT,
            connect: CONNECT_TIMEOUT,
            idle: IDLE_TIMEOUT,
        }
    }
}

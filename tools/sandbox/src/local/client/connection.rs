//! The socket, for a runtime that must not wait in it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::local::wire::{self, Received, Reply};

pub(super) struct Connection(AsyncFd<OwnedFd>);

impl Connection {
    #[expect(unsafe_code, reason = "the runtime is given a descriptor by number")]
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // SAFETY: the runtime's value owns the descriptor, and nothing here takes it out.
        Ok(Self(unsafe { AsyncFd::register(socket) }?))
    }

    /// Sends a packet, waiting for room.
    pub(super) async fn send(&self, packet: &[u8], attached: &[BorrowedFd<'_>]) -> io::Result<()> {
        let send = |socket: &OwnedFd| wire::send_packet(socket, packet, attached);
        self.0.async_io(Interest::WRITABLE, send).await
    }

    /// Sends a packet if there is room.
    pub(super) fn try_send(&self, packet: &[u8]) -> io::Result<()> {
        wire::send_packet(self.0.get_ref().as_fd(), packet, &[])
    }

    /// The next message; nothing when the sandbox is gone.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received<Reply>>> {
        let receive = |socket: &OwnedFd| wire::receive(socket, buffer);
        let mut receive = receive;
        self.0.async_io(Interest::READABLE, &mut receive).await
    }
}

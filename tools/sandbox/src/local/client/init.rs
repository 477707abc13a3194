//! The server's hold on a sandbox's init, and so on everything inside.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Kills everything inside when dropped.
pub(super) struct Init(AsyncFd<OwnedFd>);

impl Init {
    #[expect(unsafe_code, reason = "the runtime is given a descriptor by number")]
    pub(super) fn new(pidfd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the runtime's value owns the descriptor, and nothing here takes it out.
        let registered = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        Ok(Self(registered?))
    }

    pub(super) fn kill(&self) {
        // It fails only if init has ended already.
        let _ = pidfd_send_signal(self.0.get_ref(), Signal::KILL);
    }

    /// Waits for its end, before which the kernel ends everything inside.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.kill();
    }
}

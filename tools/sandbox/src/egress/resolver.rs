//! Looks names up, for the sandbox cannot.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// A look-up cannot be broken off and holds a thread of the whole server, so that one sandbox
/// that asks for names nobody answers for must not take them all.
const MAX_LOOKUPS: usize = 8;

/// Looks names up. Asked for allowed names alone.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    /// It has none, or nobody answers.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of this machine. One for each sandbox: they would wait for each other.
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver with look-ups of its own.
    pub fn new() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let host = host.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let _held_until_the_thread_is_free = permit;
            let found = (host.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        found.await.map_err(io::Error::other)?
    }
}

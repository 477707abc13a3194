//! From a request to an open sandbox.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::sandbox::SandboxError;
use tokio::time::timeout;

use super::LocalInit;
use super::connection::Connection;
use super::init::Init;
use super::launcher::Running;
use crate::local::refusal;
use crate::local::wire::{MAX_MESSAGE_BYTES, Received, Reply};

/// A sandbox that is not open after this time hangs in the kernel.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no sandbox.
pub(super) enum Unopened {
    /// A step was refused.
    Refused(SandboxError),
    /// Nobody answered, or not as expected.
    Silent(io::Error),
}

/// Waits for the launcher and for init.
pub(super) async fn finish(
    running: Arc<Running>,
    connection: Connection,
    user: Option<u32>,
) -> Result<LocalInit, Unopened> {
    let opened = timeout(OPEN_TIMEOUT, await_both(&connection)).await;
    let late = |_| Err(Unopened::Silent(io::ErrorKind::TimedOut.into()));
    let (init, proxy) = opened.unwrap_or_else(late)?;
    Ok(LocalInit::new(running, connection, init, proxy, user))
}

async fn await_both(connection: &Connection) -> Result<(Init, Option<TcpListener>), Unopened> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let created = next(connection, &mut buffer).await?;
    let pidfd = created.descriptors.into_iter().next();
    let pidfd = pidfd.ok_or_else(|| Unopened::Silent(io::ErrorKind::InvalidData.into()))?;
    // Whatever happens from here on, dropping it kills init.
    let init = Init::new(pidfd).map_err(Unopened::Silent)?;
    let ready = next(connection, &mut buffer).await?;
    Ok((init, ready.descriptors.into_iter().next().map(Into::into)))
}

async fn next(connection: &Connection, buffer: &mut [u8]) -> Result<Received<Reply>, Unopened> {
    let received = connection.receive(buffer).await.map_err(Unopened::Silent)?;
    match received {
        // Without its listener, a sandbox would open as if it wanted none.
        Some(received) if received.cut_off => Err(Unopened::Silent(io::Error::other(
            "no more descriptors can be opened here",
        ))),
        None => Err(Unopened::Silent(io::Error::other(
            "it ended without a word",
        ))),
        Some(received) => match received.message {
            Reply::Failed(failure) => Err(Unopened::Refused(refusal::of(&failure))),
            _ => Ok(received),
        },
    }
}

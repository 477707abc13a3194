//! Connections: accepted, bounded, and closed at shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use pullwright_core::config::SandboxKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::access::Peer;

/// How many connections are open at the same time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8192;

/// How long a client may take to send a request's headers, so that idle sockets do not pile up.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long open requests and streams may go on after shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long accepting pauses after an error, such as no file descriptors being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that must not be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Nobody has to say who he is.
    #[error(
        "refusing to listen on {0}: anybody who reaches it could start runs, and there is no API \
         key; make one with `pullwright keys create NAME`, or listen on 127.0.0.1"
    )]
    NoKeys(SocketAddr),
    /// What the model runs is not confined.
    #[error(
        "refusing to listen on {0} with the sandbox kind `none`: whoever has an API key could run \
         anything on this machine; choose another kind in [sandbox], or listen on 127.0.0.1"
    )]
    NoSandbox(SocketAddr),
}

/// Whether other machines may reach an address.
#[must_use]
pub fn is_public(addr: SocketAddr) -> bool {
    !addr.ip().to_canonical().is_loopback()
}

/// Refuses an address that other machines may reach, unless there is an API key and a sandbox.
///
/// # Errors
/// What is missing.
pub fn check_listen(
    addr: SocketAddr,
    has_keys: bool,
    sandbox: SandboxKind,
) -> Result<(), ListenError> {
    match (is_public(addr), has_keys, sandbox) {
        (true, _, SandboxKind::None) => Err(ListenError::NoSandbox(addr)),
        (true, false, _) => Err(ListenError::NoKeys(addr)),
        _ => Ok(()),
    }
}

/// Serves until `shutdown` resolves, then lets open connections end for a bounded time.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::pin!(shutdown);
    loop {
        let next = accept(&listener, &places);
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = next => accepted,
        };
        if let Some(accepted) = accepted? {
            connect(accepted, &router, &open);
        }
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_GRACE, open.shutdown())
        .await
        .is_err()
    {
        tracing::info!("closing the streams that are still open");
    }
    Ok(())
}

/// A connection, and its place among all.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    place: OwnedSemaphorePermit,
}

/// The next connection, or none after an error that may pass.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Option<Accepted>> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, address)) => Ok(Some(Accepted {
            stream,
            peer: Peer(address.ip()),
            place,
        })),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error),
        Err(error) => {
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            Ok(None)
        }
    }
}

fn connect(accepted: Accepted, router: &Router, open: &GracefulShutdown) {
    let Accepted {
        stream,
        peer,
        place,
    } = accepted;
    // Frames are small and must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection does not take TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    let service = router.clone().map_request(move |mut request: Request<_>| {
        request.extensions_mut().insert(peer);
        request
    });
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let watched = open.watch(connection.into_owned());
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection broke");
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_reach_a_server_only_with_keys_and_a_sandbox() {
        let (none, local) = (SandboxKind::None, SandboxKind::Local);
        for own in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8080"] {
            assert_eq!(
                check_listen(own.parse().unwrap(), false, none),
                Ok(()),
                "{own}"
            );
        }
        for open in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "192.0.2.1:1"] {
            let address = open.parse().unwrap();
            assert_eq!(check_listen(address, true, local), Ok(()), "{open}");
            let no_keys = check_listen(address, false, local).unwrap_err();
            assert_eq!(no_keys, ListenError::NoKeys(address));
            let no_sandbox = check_listen(address, true, none).unwrap_err();
            assert_eq!(no_sandbox, ListenError::NoSandbox(address));
            let told = no_keys.to_string();
            assert!(
                told.contains(open) && told.contains("pullwright keys create"),
                "{told}"
            );
        }
    }
}

//! Connections: accepted, bounded, and closed at shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
#[error(
    "refusing to listen on {0}: anybody who reaches it could start runs, and there are no API \
     keys; listen on 127.0.0.1 and put an authenticating proxy in front"
)]
pub struct ListenError(pub SocketAddr);

/// Refuses an address that other machines can reach.
///
/// # Errors
/// When the address is not a loopback address.
pub fn check_listen(addr: SocketAddr) -> Result<(), ListenError> {
    if addr.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(ListenError(addr))
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
        if let Some((stream, place)) = accepted? {
            connect(stream, place, router.clone(), &open);
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

/// The next connection, or none after an error that may pass.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, OwnedSemaphorePermit)>> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, _)) => Ok(Some((stream, place))),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error),
        Err(error) => {
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            Ok(None)
        }
    }
}

fn connect(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    router: Router,
    open: &GracefulShutdown,
) {
    // Frames are small and must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection does not take TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    let service = TowerToHyperService::new(router);
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
    fn only_loopback_addresses_are_listened_on() {
        for own in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8080"] {
            assert_eq!(check_listen(own.parse().unwrap()), Ok(()), "{own}");
        }
        for open in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "192.0.2.1:1"] {
            let refused = check_listen(open.parse().unwrap()).unwrap_err().to_string();
            assert!(
                refused.contains(open) && refused.contains("127.0.0.1"),
                "{refused}"
            );
        }
    }
}

//! Connects to a target that the rules grant.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shared;
use super::decision::Grant;
use super::host::Target;
use super::limits::MAX_ADDRESSES;
use super::refusal::{Fault, Reason};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    Denied(Reason),
    Failed(Fault),
}

/// Looks the name up once, checks every address, and connects to one of those.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    grant: &Grant<'_>,
    target: &Target,
) -> Result<(TcpStream, SocketAddr), NoConnection> {
    let addresses = resolve(shared, target)
        .await
        .map_err(NoConnection::Failed)?;
    grant
        .check_addresses(&addresses)
        .map_err(NoConnection::Denied)?;
    let connected = connect(&addresses, target.port, shared.limits.connect).await;
    connected.map_err(NoConnection::Failed)
}

async fn resolve(shared: &Shared, target: &Target) -> Result<Vec<IpAddr>, Fault> {
    let lookup = shared.resolver.resolve(target.host.as_str());
    match timeout(shared.limits.resolve, lookup).await {
        Err(_) => Err(Fault::TimedOut),
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Fault::NameNotFound),
    }
}

/// Tries the addresses in turn.
async fn connect(
    addresses: &[IpAddr],
    port: u16,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut fault = Fault::Unreachable;
    for address in addresses.iter().take(MAX_ADDRESSES) {
        let address = SocketAddr::new(*address, port);
        fault = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small pieces of a handshake are not to wait for each other.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(error)) => {
                tracing::debug!(target: "pullwright::egress", %address, %error, "cannot connect");
                Fault::Unreachable
            }
            Err(_) => Fault::TimedOut,
        };
    }
    Err(fault)
}

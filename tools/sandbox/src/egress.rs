//! The only way out of a sandbox: an HTTP proxy that lets through what `plugins.toml` allows.
//!
//! The sandbox has a network of its own with nothing in it but its loopback. There, this proxy
//! listens; here, on the host, it accepts, decides, looks names up and connects. A client that
//! ignores it reaches nothing. It speaks `CONNECT` and absolute-form HTTP/1.1, and:
//!
//! - a host is normalised once (`HostName`), and everything after works on that;
//! - names are looked up here alone, only allowed ones, every address is checked, and the
//!   connection goes to a checked address;
//! - every request is decided anew, and what a change of the rules forbids is cut off.
//!
//! It never looks into TLS, follows no redirect, keeps no connection to a server for the next
//! request, and upgrades nothing. What is sent to an allowed host is that host's business: an
//! allowed registry can be published to.

mod address;
mod audit;
mod connection;
mod decision;
mod dial;
mod environment;
mod forward;
mod head;
mod host;
mod inbound;
mod limits;
mod meter;
mod refusal;
mod request;
mod resolver;
mod rules;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

pub use audit::{Access, Method, Verdict};
pub use environment::proxy_environment;
pub use host::{HostName, Target};
pub use limits::EgressLimits;
pub use refusal::{Fault, Reason};
pub use resolver::{Resolver, SystemResolver};
pub use rules::{EgressRules, RuleError};

use audit::Ledger;
use connection::Connection;

/// After an error of `accept`, such as too many open files, which does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Stopping waits this long for the last records to be taken.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running proxy. Dropping it ends all its connections.
pub struct EgressProxy {
    accepting: JoinHandle<()>,
    auditing: JoinHandle<()>,
}

/// What the connections of a proxy share.
struct Shared {
    resolver: Arc<dyn Resolver>,
    limits: EgressLimits,
    ledger: Arc<Ledger>,
}

impl EgressProxy {
    /// Serves the clients of `listener`. The rules may change at any time; when their sender is
    /// gone, they stay as they are. Who drops the receiver of `audit` loses nothing but records.
    /// To be called within a runtime, in which the proxy then runs.
    ///
    /// # Errors
    /// The listener cannot be used by this runtime.
    pub fn start(
        listener: std::net::TcpListener,
        rules: watch::Receiver<Arc<EgressRules>>,
        resolver: Arc<dyn Resolver>,
        audit: mpsc::Sender<Access>,
    ) -> io::Result<Self> {
        Self::start_limited(listener, rules, resolver, audit, EgressLimits::default())
    }

    /// As [`start`](Self::start), within other limits.
    ///
    /// # Errors
    /// The listener cannot be used by this runtime.
    pub fn start_limited(
        listener: std::net::TcpListener,
        rules: watch::Receiver<Arc<EgressRules>>,
        resolver: Arc<dyn Resolver>,
        audit: mpsc::Sender<Access>,
        limits: EgressLimits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (ledger, auditing) = Ledger::start(audit);
        let shared = Arc::new(Shared {
            resolver,
            limits,
            ledger,
        });
        let accepting = tokio::spawn(accept_all(listener, rules, shared));
        Ok(Self {
            accepting,
            auditing,
        })
    }

    /// Ends all connections and waits until the last records are handed on.
    pub async fn stop(mut self) {
        self.accepting.abort();
        let ended = tokio::time::timeout(STOP_TIMEOUT, &mut self.auditing).await;
        if ended.is_err() {
            tracing::warn!(target: "pullwright::egress", "the last records were not taken in time");
            self.auditing.abort();
        }
    }
}

impl Drop for EgressProxy {
    /// The audit ends by itself, when the last connection is gone.
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted, which aborts the connections as well.
async fn accept_all(
    listener: TcpListener,
    rules: watch::Receiver<Arc<EgressRules>>,
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    loop {
        let is_full = connections.len() >= shared.limits.connections;
        tokio::select! {
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, rules.clone(), Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(target: "pullwright::egress", %error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, rules: watch::Receiver<Arc<EgressRules>>, shared: Arc<Shared>) {
    Connection::new(stream, rules, shared).serve().await;
}

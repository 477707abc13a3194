//! What went out and what was refused, for a log that a hostile client cannot flood.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::host::Target;
use super::meter::Meter;
use super::refusal::{Fault, Reason};

/// Accesses that are alike are one record for this long.
const PERIOD: Duration = Duration::from_secs(1);

/// Different accesses in one period. A client that tries more hosts is told apart no further.
const MAX_RECORDS: usize = 64;

/// The host of a record of several hosts.
const SEVERAL_HOSTS: &str = "*";

/// Accesses that are alike, within about a second.
///
/// A long connection gives a record when it begins, with its `count`, and one when it ends, with
/// its bytes. The sums over all records are exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The host, normalised; or what was asked for, in printable characters, if that is none; or
    /// `*` where too many different hosts were asked for.
    pub host: String,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// How it was asked for.
    pub method: Method,
    /// Whether it was let through.
    pub verdict: Verdict,
    /// The address that was connected to, the last of them.
    pub address: Option<SocketAddr>,
    /// How many accesses began.
    pub count: u64,
    /// The bytes to the server, of accesses that ended.
    pub sent: u64,
    /// The bytes from the server, of accesses that ended.
    pub received: u64,
}

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// For a tunnel.
    Connect,
    /// For one request to be carried.
    Http,
}

/// What became of an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was allowed, and a connection was made.
    Allowed,
    /// It was not allowed.
    Denied(Reason),
    /// It was allowed, and no use.
    Failed(Fault),
}

/// The records of the period. When the last holder is gone, so is the task that hands them on.
pub(super) struct Ledger {
    page: Arc<Page>,
    _alive: mpsc::Sender<()>,
}

#[derive(Default)]
struct Page {
    records: Mutex<Vec<Access>>,
    written: Notify,
}

/// An access that goes on. It is recorded as ended when this is dropped.
pub(super) struct OpenAccess {
    ledger: Arc<Ledger>,
    access: Access,
    pub(super) meter: Arc<Meter>,
}

impl Ledger {
    /// A ledger, and the task that hands its records on.
    pub(super) fn start(audit: mpsc::Sender<Access>) -> (Arc<Self>, JoinHandle<()>) {
        let page = Arc::new(Page::default());
        let (alive, all_gone) = mpsc::channel(1);
        let handing_on = tokio::spawn(hand_on(Arc::clone(&page), all_gone, audit));
        let ledger = Self {
            page,
            _alive: alive,
        };
        (Arc::new(ledger), handing_on)
    }

    /// Records one that is refused without a usable target.
    pub(super) fn malformed(&self, method: Method, shown: &str, reason: Reason) {
        self.page.write(Access {
            host: shown.to_owned(),
            port: None,
            ..Access::new(method, Verdict::Denied(reason))
        });
    }

    /// Records one that comes to nothing.
    pub(super) fn refused(&self, method: Method, target: &Target, verdict: Verdict) {
        self.page.write(Access::to(target, method, verdict));
    }

    /// Records one that begins.
    pub(super) fn opened(
        self: &Arc<Self>,
        method: Method,
        target: &Target,
        address: SocketAddr,
    ) -> OpenAccess {
        let access = Access {
            address: Some(address),
            ..Access::to(target, method, Verdict::Allowed)
        };
        self.page.write(access.clone());
        OpenAccess {
            ledger: Arc::clone(self),
            access,
            meter: Arc::default(),
        }
    }
}

impl Drop for OpenAccess {
    fn drop(&mut self) {
        self.ledger.page.write(Access {
            count: 0,
            sent: self.meter.sent(),
            received: self.meter.received(),
            ..self.access.clone()
        });
    }
}

impl Page {
    fn write(&self, access: Access) {
        let mut records = self.lock();
        let is_full = records.len() >= MAX_RECORDS;
        let is_known = records.iter().any(|record| record.is_like(&access));
        enter(
            &mut records,
            match is_full && !is_known {
                true => access.into_one_of_several(),
                false => access,
            },
        );
        drop(records);
        self.written.notify_one();
    }

    fn take(&self) -> Vec<Access> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Access>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enter(records: &mut Vec<Access>, access: Access) {
    match records.iter_mut().find(|record| record.is_like(&access)) {
        Some(record) => record.add(&access),
        None => records.push(access),
    }
}

async fn hand_on(page: Arc<Page>, mut all_gone: mpsc::Receiver<()>, audit: mpsc::Sender<Access>) {
    loop {
        let is_last = tokio::select! {
            _ = all_gone.recv() => true,
            () = page.written.notified() => false,
        };
        for access in page.take() {
            access.log();
            // Without a receiver the lines above are all there is.
            let _ = audit.send(access).await;
        }
        if is_last {
            return;
        }
        tokio::select! {
            _ = all_gone.recv() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

impl Access {
    fn new(method: Method, verdict: Verdict) -> Self {
        Self {
            host: String::new(),
            port: None,
            method,
            verdict,
            address: None,
            count: 1,
            sent: 0,
            received: 0,
        }
    }

    fn to(target: &Target, method: Method, verdict: Verdict) -> Self {
        Self {
            host: target.host.to_string(),
            port: Some(target.port),
            ..Self::new(method, verdict)
        }
    }

    /// Beyond the limit there are as many records as there are verdicts.
    fn into_one_of_several(self) -> Self {
        Self {
            host: SEVERAL_HOSTS.to_owned(),
            port: None,
            address: None,
            ..self
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let key = |access: &Self| (access.port, access.method, access.verdict);
        key(self) == key(other) && self.host == other.host
    }

    fn add(&mut self, other: &Self) {
        self.address = other.address.or(self.address);
        self.count += other.count;
        self.sent += other.sent;
        self.received += other.received;
    }

    fn log(&self) {
        let Self {
            count,
            sent,
            received,
            ..
        } = self;
        match self.verdict {
            Verdict::Allowed => {
                tracing::info!(target: "pullwright::egress", count, sent, received, "{self}");
            }
            _ => tracing::warn!(target: "pullwright::egress", count, "{self}"),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.verdict, self.method, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.address {
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Http => "HTTP",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied(reason) => write!(f, "denied ({reason})"),
            Self::Failed(fault) => write!(f, "failed ({fault})"),
        }
    }
}

//! The network of one sandbox: the proxy on its loopback, and what goes into the run's log.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use pullwright_core::config::NetworkConfig;
use pullwright_core::sandbox::{SandboxError, SandboxNotice};
use pullwright_protocol::{NetworkAccess, NetworkVerdict};
use tokio::sync::{mpsc, watch};

use super::KIND;
use crate::egress::{
    Access, EgressProxy, EgressRules, RuleError, SystemResolver, Verdict, proxy_environment,
};

/// The port of the proxy on the sandbox's loopback.
pub(super) const PROXY_PORT: u16 = 3128;

/// How many records may wait for the run's log before the proxy joins them further.
const QUEUED_RECORDS: usize = 64;

/// What processes inside may reach.
pub(super) struct Network {
    rules: watch::Sender<Arc<EgressRules>>,
    private: Vec<String>,
    proxy: Option<EgressProxy>,
}

impl Network {
    /// Serves `listener`. Nothing is allowed yet.
    pub(super) fn open(
        listener: TcpListener,
        config: &NetworkConfig,
        notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Self, SandboxError> {
        let (rules, current) = watch::channel(Arc::new(rules(&[], &config.private)?));
        let (audit, records) = mpsc::channel(QUEUED_RECORDS);
        tokio::spawn(tell(records, notices));
        let proxy = EgressProxy::start(listener, current, Arc::new(SystemResolver::new()), audit);
        let proxy = proxy.map_err(|source| SandboxError::Io {
            what: "cannot serve the sandbox's network".to_owned(),
            source,
        })?;
        Ok(Self {
            rules,
            private: config.private.clone(),
            proxy: Some(proxy),
        })
    }

    pub(super) fn allow(&self, hosts: &[String]) -> Result<(), SandboxError> {
        self.rules
            .send_replace(Arc::new(rules(hosts, &self.private)?));
        Ok(())
    }

    /// Cuts everything off, and returns when all of it is told.
    pub(super) async fn close(mut self) {
        if let Some(proxy) = self.proxy.take() {
            proxy.stop().await;
        }
    }

    /// The variables by which programs find the proxy.
    pub(super) fn environment() -> BTreeMap<String, String> {
        proxy_environment(PROXY_PORT)
    }
}

fn rules(allow: &[String], private: &[String]) -> Result<EgressRules, SandboxError> {
    let rules = EgressRules::new(allow).and_then(|rules| rules.permit_private(private));
    rules.map_err(refused)
}

fn refused(error: RuleError) -> SandboxError {
    SandboxError::Refused {
        kind: KIND,
        reason: format!("its network cannot be limited as wanted: {error}"),
        remedy: "correct `[sandbox.network]` or `[setup] allow` in plugins.toml".to_owned(),
    }
}

async fn tell(mut records: mpsc::Receiver<Access>, notices: mpsc::Sender<SandboxNotice>) {
    while let Some(record) = records.recv().await {
        // A run that has ended is not told any more; the server's own log still is.
        let _ = notices.send(SandboxNotice::Network(access(record))).await;
    }
}

fn access(record: Access) -> NetworkAccess {
    let (verdict, reason) = match record.verdict {
        Verdict::Allowed => (NetworkVerdict::Allowed, None),
        Verdict::Denied(reason) => (NetworkVerdict::Denied, Some(reason.as_str())),
        Verdict::Failed(fault) => (NetworkVerdict::Failed, Some(fault.as_str())),
    };
    NetworkAccess {
        host: record.host,
        port: record.port,
        verdict,
        reason: reason.map(str::to_owned),
        address: record.address.map(|address| address.to_string()),
        count: record.count,
        sent_bytes: record.sent,
        received_bytes: record.received,
    }
}

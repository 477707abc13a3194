//! What the audit says.

use std::sync::Arc;

use pullwright_sandbox::egress::{
    EgressProxy, EgressRules, Method, Reason, SystemResolver, Verdict,
};
use tokio::sync::{mpsc, watch};

use super::rig::Rig;
use crate::bench::bounded;

#[tokio::test]
async fn denials_that_are_alike_are_counted() {
    let mut rig = Rig::new(&[]);
    let head = "CONNECT evil.example:443 HTTP/1.1\r\n\r\n";
    rig.say(head).await;
    let first = rig.record().await;
    assert_eq!(
        (first.host.as_str(), first.port),
        ("evil.example", Some(443))
    );
    assert_eq!(first.method, Method::Connect);
    assert_eq!(first.verdict, Verdict::Denied(Reason::HostNotAllowed));
    assert_eq!(first.count, 1);
    assert_eq!(
        first.to_string(),
        "denied (host_not_allowed) CONNECT evil.example:443"
    );

    for _ in 0..5 {
        rig.say(head).await;
    }
    rig.say("CONNECT evil.example:22 HTTP/1.1\r\n\r\n").await;
    let records = rig.finish().await;
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.port, record.count))
        .collect();
    assert_eq!(told, [(Some(443), 5), (Some(22), 1)]);
}

#[tokio::test]
async fn a_proxy_whose_audit_nobody_reads_still_stops() {
    let (_, seen) = watch::channel(Arc::new(EgressRules::default()));
    let (records, audit) = mpsc::channel(1);
    drop(audit);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let resolver = Arc::new(SystemResolver::new());
    let proxy = EgressProxy::start(listener, seen, resolver, records).unwrap();
    bounded(proxy.stop()).await;
}

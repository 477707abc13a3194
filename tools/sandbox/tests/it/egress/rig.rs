//! A proxy to try things with: its names, its rules and its records.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_sandbox::egress::{
    Access, EgressLimits, EgressProxy, EgressRules, Resolver, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::bench::bounded;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) struct Rig {
    pub(crate) proxy: EgressProxy,
    pub(crate) address: SocketAddr,
    pub(crate) names: Arc<Names>,
    pub(crate) rules: watch::Sender<Arc<EgressRules>>,
    pub(crate) audit: mpsc::Receiver<Access>,
}

/// Names and what is answered for them: one answer after the other, and the last for ever.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Rig {
    /// A proxy that allows these hosts, which may be on this machine.
    pub(crate) fn new(allow: &[&str]) -> Self {
        Self::limited(allow, EgressLimits::default())
    }

    pub(crate) fn limited(allow: &[&str], limits: EgressLimits) -> Self {
        Self::with_rules(local(allow), limits)
    }

    pub(crate) fn with_rules(rules: EgressRules, limits: EgressLimits) -> Self {
        let names = Arc::new(Names::default());
        let resolver = Arc::clone(&names) as Arc<dyn Resolver>;
        Self::with_resolver(rules, limits, names, resolver)
    }

    pub(crate) fn with_resolver(
        rules: EgressRules,
        limits: EgressLimits,
        names: Arc<Names>,
        resolver: Arc<dyn Resolver>,
    ) -> Self {
        let listener = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (rules, seen) = watch::channel(Arc::new(rules));
        let (records, audit) = mpsc::channel(16);
        let proxy = EgressProxy::start_limited(listener, seen, resolver, records, limits).unwrap();
        Self {
            proxy,
            address,
            names,
            rules,
            audit,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What the proxy says to these bytes, until it closes.
    pub(crate) async fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    /// A tunnel that is established.
    pub(crate) async fn tunnel(&self, target: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        stream
    }

    /// The next record of the audit.
    pub(crate) async fn record(&mut self) -> Access {
        bounded(self.audit.recv()).await.expect("no record")
    }

    /// Stops the proxy, and gives all records that are left.
    pub(crate) async fn finish(mut self) -> Vec<Access> {
        let mut records = Vec::new();
        let rest = async {
            while let Some(record) = self.audit.recv().await {
                records.push(record);
            }
        };
        bounded(async { tokio::join!(self.proxy.stop(), rest) }).await;
        records
    }

    /// Stops the proxy, and gives the one verdict of all its records.
    pub(crate) async fn verdict(self) -> Verdict {
        let records = self.finish().await;
        let verdict = records.first().expect("no record").verdict;
        let is_same = |record: &Access| record.verdict == verdict;
        assert!(records.iter().all(is_same), "{records:?}");
        verdict
    }
}

impl Names {
    /// What is answered for a name, in turn.
    pub(crate) fn answer(&self, name: &str, answers: &[&[&str]]) {
        let addresses =
            |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers.iter().map(addresses).collect();
        self.answers
            .lock()
            .unwrap()
            .insert(name.to_owned(), answers);
    }

    /// Every look-up so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A name without an answer of its own is at this machine.
#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let Some(answers) = answers.get_mut(host) else {
            return Ok(vec![LOOPBACK]);
        };
        Ok(match answers.len() {
            0 => return Err(io::Error::other("no such name")),
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        })
    }
}

/// Rules that allow these hosts, on this machine as well.
pub(crate) fn local(allow: &[&str]) -> EgressRules {
    rules(allow).permit_private(&owned(allow)).unwrap()
}

pub(crate) fn rules(allow: &[&str]) -> EgressRules {
    EgressRules::new(&owned(allow)).unwrap()
}

pub(crate) fn owned(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

/// The limits, some of them short.
pub(crate) fn short(change: impl FnOnce(&mut EgressLimits)) -> EgressLimits {
    let mut limits = EgressLimits::default();
    change(&mut limits);
    limits
}

pub(crate) const SHORT: Duration = Duration::from_millis(50);

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an end as well.
    let _ = bounded(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The head of an answer, and nothing after it.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(bounded(stream.read_u8()).await.expect("no whole head"));
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn status(answer: &str) -> u16 {
    let words = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    words
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
        .parse()
        .unwrap()
}

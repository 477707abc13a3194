//! A sandbox's way to the network: a tunnel through the proxy beside a plain connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pullwright_sandbox::egress::{EgressProxy, EgressRules, Resolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::Effort;
use crate::sample::{Sample, print_value};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BLOCK: usize = 64 * 1024;
/// Blocks of a transfer for each repeat.
const BLOCKS: usize = 1024;

/// Connections first, then bytes.
pub(crate) fn measure(effort: Effort) {
    let runtime = pullwright::runtime::server_runtime().unwrap();
    runtime.block_on(async {
        let way = Way::new().await;
        let (mut direct, mut tunnel) = (Sample::default(), Sample::default());
        for _ in 0..effort.calls {
            let begin = Instant::now();
            way.direct().await;
            direct.since(begin);
            let begin = Instant::now();
            way.tunnel().await;
            tunnel.since(begin);
        }
        direct.print("a connection");
        tunnel.print("  through the proxy, to its answer");
        let blocks = BLOCKS * effort.repeats;
        let direct = transfer(way.direct().await, blocks).await;
        let tunnel = transfer(way.tunnel().await, blocks).await;
        print_value("MiB/s over a connection", rate(blocks, direct));
        print_value("  through the proxy", rate(blocks, tunnel));
    });
}

/// A host, and a proxy that allows it.
struct Way {
    host: TcpListener,
    target: String,
    entrance: SocketAddr,
    _proxy: EgressProxy,
    _rules: watch::Sender<Arc<EgressRules>>,
}

impl Way {
    async fn new() -> Self {
        let host = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let target = format!("host.test:{}", host.local_addr().unwrap().port());
        let allowed = [target.clone()];
        let rules = EgressRules::new(&allowed).unwrap();
        let rules = rules.permit_private(&allowed).unwrap();
        let (keep, rules) = watch::channel(Arc::new(rules));
        let listener = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
        let entrance = listener.local_addr().unwrap();
        let (records, mut audit) = mpsc::channel(16);
        tokio::spawn(async move { while audit.recv().await.is_some() {} });
        let proxy = EgressProxy::start(listener, rules, Arc::new(Here), records).unwrap();
        Self {
            host,
            target,
            entrance,
            _proxy: proxy,
            _rules: keep,
        }
    }

    async fn direct(&self) -> (TcpStream, TcpStream) {
        let address = self.host.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (client, self.host.accept().await.unwrap().0)
    }

    async fn tunnel(&self) -> (TcpStream, TcpStream) {
        let mut client = TcpStream::connect(self.entrance).await.unwrap();
        let target = &self.target;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let accepted = self.host.accept().await.unwrap().0;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        (client, accepted)
    }
}

/// Every name is this machine.
struct Here;

#[async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![LOOPBACK])
    }
}

/// The time that it takes for all bytes to arrive.
async fn transfer((mut to, mut from): (TcpStream, TcpStream), blocks: usize) -> Duration {
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        let block = vec![7; BLOCK];
        for _ in 0..blocks {
            from.write_all(&block).await.unwrap();
        }
    });
    let mut block = vec![0; BLOCK];
    let mut left = blocks * BLOCK;
    while left > 0 {
        left -= to.read(&mut block).await.unwrap();
    }
    sending.await.unwrap();
    begin.elapsed()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
fn rate(blocks: usize, took: Duration) -> String {
    let mebibytes = (blocks * BLOCK / 1024 / 1024) as f64;
    format!("{:.0}", mebibytes / took.as_secs_f64())
}

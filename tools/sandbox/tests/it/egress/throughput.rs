//! What the proxy costs. Says figures and asserts none.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::peer::Peer;
use super::rig::Rig;

const BYTES: usize = 256 * 1024 * 1024;
const TUNNELS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_tunnel_beside_a_plain_connection() {
    for _ in 0..3 {
        let mut peer = Peer::new().await;
        let target = peer.at("api.example.com");
        let rig = Rig::new(&[&target]);
        let direct = TcpStream::connect(peer.address).await.unwrap();
        let direct = transfer(peer.accept().await, direct).await;
        let tunnel = rig.tunnel(&target).await;
        let tunnel = transfer(peer.accept().await, tunnel).await;
        let opening = open_many(&rig, &mut peer, &target).await;
        eprintln!(
            "256 MiB: direct {direct:?}, tunnel {tunnel:?}; a connection {:?}, a tunnel {:?}",
            opening.0, opening.1
        );
    }
}

/// The time that it takes for all bytes to arrive.
async fn transfer(mut from: TcpStream, mut to: TcpStream) -> Duration {
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        let block = vec![7; 64 * 1024];
        for _ in 0..BYTES / block.len() {
            from.write_all(&block).await.unwrap();
        }
    });
    let receiving = tokio::spawn(async move {
        let mut block = vec![0; 64 * 1024];
        let mut received = 0;
        while received < BYTES {
            received += to.read(&mut block).await.unwrap();
        }
    });
    sending.await.unwrap();
    receiving.await.unwrap();
    start.elapsed()
}

/// The mean time to connect, without and with the proxy.
async fn open_many(rig: &Rig, peer: &mut Peer, target: &str) -> (Duration, Duration) {
    let start = Instant::now();
    for _ in 0..TUNNELS {
        let _client = TcpStream::connect(peer.address).await.unwrap();
        peer.accept().await;
    }
    let direct = start.elapsed() / TUNNELS;
    let start = Instant::now();
    for _ in 0..TUNNELS {
        let _client = rig.tunnel(target).await;
        peer.accept().await;
    }
    (direct, start.elapsed() / TUNNELS)
}

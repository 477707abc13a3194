//! Replies as they arrive: what reading them costs, over HTTP and through the provider protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use pullwright_core::conversation::Conversation;
use pullwright_core::provider::Provider;
use pullwright_link::InProcessPeer;
use pullwright_protocol::Item;
use pullwright_protocol::provider::Delta;
use pullwright_providers::rpc_module;
use tokio::runtime::Builder;

use crate::Effort;
use crate::sample::print_value;
use crate::wires::{self, PIECE, Wire};

/// How many streams are open at once where their memory is measured.
const STREAMS: usize = 200;

pub(crate) fn measure(effort: Effort) {
    let pieces = effort.pieces;
    let address = wires::serve(pieces);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for wire in wires::ALL {
        runtime.block_on(async {
            let provider = provider(wire, &format!("http://{address}/{}", wire.name)).await;
            read(&provider).await;
            one_stream(wire, &provider, pieces).await;
            many_streams(wire, &provider).await;
        });
    }
}

/// The processor time of this thread, which reads, beside the time that passes.
async fn one_stream(wire: &Wire, provider: &Provider, pieces: usize) {
    let (cpu, begin) = (thread_cpu(), Instant::now());
    let read = read(provider).await;
    assert_eq!(read, pieces, "{}", wire.name);
    let (cpu, wall) = (thread_cpu() - cpu, begin.elapsed());
    let share = cpu.as_secs_f64() / wall.as_secs_f64() * 100.0;
    let rate = pieces as f64 / wall.as_secs_f64();
    print_value(
        &format!(
            "{}: % of a core for a stream of {rate:.0} pieces/s",
            wire.name
        ),
        format!("{share:.1}"),
    );
}

async fn many_streams(wire: &Wire, provider: &Provider) {
    let Some(before) = resident_kib() else {
        return;
    };
    let reading = (0..STREAMS).map(|_| read(provider));
    let watching = async {
        tokio::time::sleep(PIECE * 100).await;
        resident_kib()
    };
    let (_, during) = future::join(future::join_all(reading), watching).await;
    let grown = during.unwrap_or(before).saturating_sub(before) / 1024;
    print_value(
        &format!(
            "{}: MiB for {STREAMS} streams at once, their server included",
            wire.name
        ),
        grown,
    );
}

/// Reads one reply to its end, and answers how many pieces of text it had.
async fn read(provider: &Provider) -> usize {
    let mut conversation = Conversation::new("You are a benchmark.".to_owned(), Vec::new());
    conversation.push(&Item::user("Say something long."));
    let mut reply = provider.stream(conversation.request(1000)).await.unwrap();
    let mut pieces = 0;
    while let Some(delta) = reply.next().await {
        match delta {
            Delta::Text { .. } => pieces += 1,
            Delta::Error { error } => panic!("{}", error.message),
            _ => {}
        }
    }
    pieces
}

async fn provider(wire: &Wire, base_url: &str) -> Provider {
    let provider = wire.open(base_url);
    let peer = InProcessPeer::new("bench", rpc_module(provider));
    Provider::connect(Arc::new(peer)).await.unwrap()
}

/// The processor time of this thread, where the kernel lists it.
fn thread_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split_ascii_whitespace().next();
    Duration::from_nanos(
        nanos
            .and_then(|nanos| nanos.parse().ok())
            .unwrap_or_default(),
    )
}

/// The resident memory of this process.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

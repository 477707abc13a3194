//! Replies as they arrive: what reading them costs, over HTTP and through the provider protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::post;
use futures_util::{StreamExt, future, stream};
use pullwright_core::conversation::Conversation;
use pullwright_core::provider::Provider;
use pullwright_link::InProcessPeer;
use pullwright_protocol::provider::{Delta, StreamRequest};
use pullwright_protocol::{Item, ToolCall};
use pullwright_providers::{
    Access, AnthropicConfig, AnthropicMessages, HttpClient, Secret, StreamTimeouts, Thinking,
    rpc_module,
};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

use crate::Effort;
use crate::sample::print_value;

/// The pieces of a stream, one a millisecond.
const PIECE: Duration = Duration::from_millis(1);

/// How many streams are open at once where their memory is measured.
const STREAMS: usize = 200;

pub(crate) fn measure(effort: Effort) {
    let pieces = effort.pieces;
    let address = serve(pieces);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = provider(address).await;
        read(&provider).await;
        one_stream(&provider, pieces).await;
        many_streams(&provider).await;
        requests(effort.turns);
    });
}

/// The processor time of this thread, which reads, beside the time that passes.
async fn one_stream(provider: &Provider, pieces: usize) {
    let (cpu, begin) = (thread_cpu(), Instant::now());
    let read = read(provider).await;
    assert_eq!(read, pieces);
    let (cpu, wall) = (thread_cpu() - cpu, begin.elapsed());
    let share = cpu.as_secs_f64() / wall.as_secs_f64() * 100.0;
    let rate = pieces as f64 / wall.as_secs_f64();
    print_value(
        &format!("% of a core for a stream of {rate:.0} pieces/s"),
        format!("{share:.1}"),
    );
}

async fn many_streams(provider: &Provider) {
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
        &format!("MiB for {STREAMS} streams at once, their server included"),
        grown,
    );
}

/// What writing the last request of a long conversation costs, beside an early one: with what was
/// written before at hand, only what is new should count.
fn requests(turns: usize) {
    let turns = turns * 5;
    let times: Vec<Duration> = write_requests(turns);
    let mean = |times: &[Duration]| {
        let sum: Duration = times.iter().sum();
        sum.as_secs_f64() * 1e6 / times.len() as f64
    };
    let tenth = (turns / 10).max(1);
    let (early, late) = (mean(&times[..tenth]), mean(&times[turns - tenth..]));
    print_value(
        &format!("µs to write a request, first and last tenth of {turns}"),
        format!("{early:.0}, {late:.0}"),
    );
}

fn write_requests(turns: usize) -> Vec<Duration> {
    let http = HttpClient::new().unwrap();
    let provider = AnthropicMessages::new(config("http://127.0.0.1"), http);
    let mut request = StreamRequest {
        system: "You are a benchmark.".to_owned(),
        tools: Vec::new(),
        items: vec![Arc::new(Item::user("start"))],
        max_output_tokens: None,
        compact: false,
    };
    let write = |turn| {
        let begin = Instant::now();
        let body = provider.request_body(&request).unwrap();
        let time = begin.elapsed();
        assert!(body.ends_with(b"]}"));
        request.items.extend(exchange(turn).map(Arc::new));
        time
    };
    (0..turns).map(write).collect()
}

/// A call and a page of result.
fn exchange(turn: usize) -> [Item; 2] {
    let call_id = format!("call_{turn}");
    let result = Item::tool_result(call_id.clone(), "a line of a file\n".repeat(100), false);
    let call = ToolCall {
        call_id,
        name: "read".to_owned(),
        arguments: json!({"path": "src/main.rs"}).to_string(),
    };
    [
        Item::neutral(pullwright_protocol::Content::ToolCall(call)),
        result,
    ]
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

async fn provider(address: SocketAddr) -> Provider {
    let http = HttpClient::new().unwrap();
    let anthropic = AnthropicMessages::new(config(&format!("http://{address}")), http);
    let peer = InProcessPeer::new("bench", rpc_module(Arc::new(anthropic)));
    Provider::connect(Arc::new(peer)).await.unwrap()
}

fn config(base_url: &str) -> AnthropicConfig {
    AnthropicConfig {
        name: "bench".to_owned(),
        base_url: Url::parse(base_url).unwrap(),
        access: Access::with_key(Secret::new("none"), "NONE").unwrap(),
        model: "bench".to_owned(),
        max_output_tokens: 1000,
        context_tokens: None,
        prices: None,
        compacts: false,
        thinking: Thinking::Unspecified,
        effort: None,
        timeouts: StreamTimeouts::default(),
    }
}

/// A model in a thread of its own that answers every request with so many pieces, at an even pace.
fn serve(pieces: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let answer = move || async move { reply(pieces) };
            let router = Router::new().route("/v1/messages", post(answer));
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

fn reply(pieces: usize) -> Response {
    let mut pace = interval(PIECE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let paced = stream::iter(0..pieces).zip(stream::unfold(pace, |mut pace| async {
        pace.tick().await;
        Some(((), pace))
    }));
    let text = paced.map(|_| {
        let delta = json!({"type": "text_delta", "text": "word "});
        frame(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    });
    let usage = json!({"input_tokens": 10, "output_tokens": 1});
    let message = json!({"id": "msg", "type": "message", "role": "assistant", "content": [],
        "model": "bench", "stop_reason": null, "stop_sequence": null, "usage": usage});
    let block = json!({"type": "text", "text": ""});
    let begin = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
    ];
    let end = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "usage": {"output_tokens": 10},
            "delta": {"stop_reason": "end_turn", "stop_sequence": null}}),
        json!({"type": "message_stop"}),
    ];
    let begin = stream::iter(begin.map(|event| frame(&event)));
    let end = stream::iter(end.map(|event| frame(&event)));
    let frames = begin.chain(text).chain(end);
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(
            frames.map(Ok::<_, std::convert::Infallible>),
        ))
        .unwrap()
}

fn frame(event: &serde_json::Value) -> String {
    let name = event["type"].as_str().unwrap();
    format!("event: {name}\ndata: {event}\n\n")
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

//! The same tool over every link, beside the bare SDK over the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use pullwright::runtime::server_runtime;
use pullwright_core::tools::{ToolIo, ToolServer};
use pullwright_link::{ChildCommand, ChildProcess, McpHttp, McpHttpOptions, NativeLibrary};
use pullwright_tool_kit::{HttpAccess, serve, serve_http, serve_stdio};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Effort;
use crate::sample::{Sample, print_value};
use crate::tools::{call, connect_over};

/// With this argument the benchmark is the tool server of its own child link.
pub(crate) const SERVE_WORDS: &str = "--serve-words";

/// How many bytes are under way in this process, each way.
const PIPE_BYTES: usize = 64 * 1024;

/// A call with a small argument and a small result.
const SMALL: (&str, usize) = ("count", 0);

pub(crate) fn measure(effort: Effort) {
    // As in the server: on its threads, and in a task of theirs.
    let runtime = server_runtime().unwrap();
    let measuring = runtime.spawn(async move {
        let near = connect_over("words", in_process()).await;
        of("in process", &near, effort).await;
        if let Some(io) = library() {
            of("library", &connect_over("words", io).await, effort).await;
        }
        of("child", &connect_over("words", child()).await, effort).await;
        of("http", &connect_over("words", http().await).await, effort).await;
        let bare = ().serve(duplex()).await.unwrap();
        bare_of("in process, bare SDK", &bare, effort).await;
        let ChildProcess {
            stdin,
            stdout,
            guard,
        } = words();
        let bare = ().serve((stdout, stdin)).await.unwrap();
        bare_of("child, bare SDK", &bare, effort).await;
        drop(guard);
    });
    runtime.block_on(measuring).unwrap();
}

/// Serves the words over standard input and output: what the child link starts.
pub(crate) fn serve_words() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.unwrap().block_on(serve_stdio(word_count::server()));
    served.unwrap();
}

async fn of(link: &str, server: &ToolServer, effort: Effort) {
    let once = async |(tool, bytes): (&str, usize)| {
        let begin = Instant::now();
        call(server, tool, arguments(tool, bytes)).await;
        begin.elapsed()
    };
    let mut small = Sample::default();
    for _ in 0..effort.calls * 10 {
        small.push(once(SMALL).await);
    }
    print(link, &small);
    let mut means = Vec::new();
    for kib in [256, 1024] {
        let mut large = Sample::default();
        for _ in 0..effort.calls.div_ceil(15) {
            large.push(once(("top", kib * 1024)).await);
        }
        means.push(large.percentile(50));
    }
    print_value(
        &format!("  {link}: ms for 256 KiB, 1 MiB, each way"),
        format!("{:.2}, {:.2}", means[0], means[1]),
    );
}

async fn bare_of(link: &str, client: &RunningService<RoleClient, ()>, effort: Effort) {
    let mut small = Sample::default();
    for _ in 0..effort.calls * 10 {
        let begin = Instant::now();
        let params = CallToolRequestParams::new(SMALL.0);
        let params = params.with_arguments(arguments(SMALL.0, SMALL.1));
        client.call_tool(params).await.unwrap();
        small.since(begin);
    }
    print(link, &small);
}

/// In microseconds, which the table has not.
fn print(link: &str, sample: &Sample) {
    let [min, p50, p95] = [0, 50, 95].map(|percent| sample.percentile(percent) * 1000.0);
    print_value(
        &format!("{link}: µs for 16 B, min, p50, p95"),
        format!("{min:.0}, {p50:.0}, {p95:.0}"),
    );
}

/// A text of so many bytes in words that the answer repeats.
fn arguments(tool: &str, bytes: usize) -> Map<String, Value> {
    let arguments = match tool {
        "top" => {
            let word = bytes / 1000;
            let words = (0..1000).map(|number| format!("{number:0word$} "));
            json!({"text": words.collect::<String>(), "limit": 1000})
        }
        _ => json!({"text": "one two three 4"}),
    };
    match arguments {
        Value::Object(arguments) => arguments,
        _ => unreachable!("arguments are an object"),
    }
}

fn duplex() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (read, write) = tokio::io::split(theirs);
    tokio::spawn(serve(word_count::server(), read, write));
    ours
}

fn in_process() -> ToolIo {
    let (read, write) = tokio::io::split(duplex());
    ToolIo::bytes(read, write, ())
}

fn words() -> ChildProcess {
    let command = ChildCommand {
        name: "words".to_owned(),
        program: std::env::current_exe().unwrap().into(),
        args: vec![SERVE_WORDS.into()],
        env: BTreeMap::new(),
        cwd: None,
    };
    command.spawn().unwrap()
}

fn child() -> ToolIo {
    let process = words();
    ToolIo::bytes(process.stdout, process.stdin, process.guard)
}

/// Nothing where cargo has not built it.
fn library() -> Option<ToolIo> {
    let path = built()?;
    let mut sha256 = String::new();
    for byte in Sha256::digest(std::fs::read(&path).unwrap()) {
        write!(sha256, "{byte:02x}").unwrap();
    }
    let connection = NativeLibrary::load(&path, &sha256)
        .unwrap()
        .open("words")
        .unwrap();
    Some(ToolIo::bytes(
        connection.read,
        connection.write,
        connection.guard,
    ))
}

fn built() -> Option<PathBuf> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};

    let name = format!("{DLL_PREFIX}word_count{DLL_SUFFIX}");
    let bench = std::env::current_exe().unwrap();
    let deps = bench.parent().unwrap();
    let places = [deps.join(&name), deps.parent().unwrap().join(&name)];
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        print_value("library", "not built: cargo build --release -p word-count");
    }
    found
}

async fn http() -> ToolIo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let access = HttpAccess::open_on_loopback(address).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve_http(word_count::server(), listener, access, stop));
    let options = McpHttpOptions {
        url: format!("http://{address}/mcp").parse().unwrap(),
        bearer_token: None,
        headers: Vec::new(),
        first_byte_timeout: std::time::Duration::from_secs(30),
        discover_timeout: std::time::Duration::from_secs(2),
    };
    ToolIo::Http(McpHttp::new(&options).unwrap())
}

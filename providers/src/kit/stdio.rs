//! A provider plugin's main loop: JSON-RPC over standard input and output, one message a line.

use std::io;
use std::time::Duration;

use jsonrpsee::Methods;
use jsonrpsee::types::{ErrorCode, ErrorObject, Id};
use serde_json::value::RawValue;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The longest request: a longer one would fill our memory before it can be refused.
const MAX_LINE_BYTES: u64 = 256 * 1024 * 1024;
/// How many messages may wait for a slow reader before producers wait too.
const OUTPUT_BUFFER_MESSAGES: usize = 64;
/// How many deltas of one stream may wait for their turn on the shared output.
const STREAM_BUFFER_MESSAGES: usize = 16;
/// How many requests are worked on at once; further ones are not read before one is done.
const MAX_CONCURRENT_REQUESTS: usize = 256;
/// How long a request may still take after the input ended, so that `echo '…' | plugin` works.
const GRACE_AFTER_END: Duration = Duration::from_millis(250);
/// How much input is taken at once.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Serves `methods` on standard input and output until standard input ends.
///
/// Nothing else may write to standard output. End the process soon after: tokio's standard input
/// can keep a runtime from shutting down.
///
/// # Errors
/// What the operating system says, and a line that is too long.
pub async fn serve_stdio(methods: impl Into<Methods>) -> io::Result<()> {
    serve_lines(methods, tokio::io::stdin(), tokio::io::stdout()).await
}

/// Serves `methods` over any two streams until `input` ends; what is then under way stops soon.
///
/// # Errors
/// What the streams say, and a line that is too long.
pub async fn serve_lines(
    methods: impl Into<Methods>,
    input: impl AsyncRead + Send + Unpin,
    output: impl AsyncWrite + Send + Unpin,
) -> io::Result<()> {
    let (sender, messages) = mpsc::channel(OUTPUT_BUFFER_MESSAGES);
    let reading = read_requests(methods.into(), input, sender);
    let writing = write_messages(output, messages);
    tokio::try_join!(reading, writing).map(drop)
}

async fn read_requests(
    methods: Methods,
    input: impl AsyncRead + Send + Unpin,
    output: mpsc::Sender<Box<RawValue>>,
) -> io::Result<()> {
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
    let mut requests = JoinSet::new();
    while let Some(line) = next_line(&mut input).await? {
        while requests.try_join_next().is_some() {}
        if requests.len() >= MAX_CONCURRENT_REQUESTS {
            requests.join_next().await;
        }
        requests.spawn(answer(methods.clone(), line, output.clone()));
    }
    let finish = async { while requests.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GRACE_AFTER_END, finish).await);
    Ok(())
}

async fn next_line(input: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = input.take(MAX_LINE_BYTES).read_line(&mut line).await?;
    match line.ends_with('\n') {
        true => Ok(Some(line)),
        false if read == 0 => Ok(None),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a request is longer than {MAX_LINE_BYTES} bytes or ends in the middle"),
        )),
    }
}

/// A dropped stream receiver, here by abort, stops its producer.
async fn answer(methods: Methods, line: String, output: mpsc::Sender<Box<RawValue>>) {
    if line.trim().is_empty() {
        return;
    }
    match methods
        .raw_json_request(&line, STREAM_BUFFER_MESSAGES)
        .await
    {
        Ok((answer, stream)) => forward(answer, stream, &output).await,
        Err(error) => drop(output.send(parse_error(&error)).await),
    }
}

async fn forward(
    answer: Box<RawValue>,
    mut stream: mpsc::Receiver<Box<RawValue>>,
    output: &mpsc::Sender<Box<RawValue>>,
) {
    let mut next = Some(answer);
    while let Some(message) = next {
        if output.send(message).await.is_err() {
            return;
        }
        next = stream.recv().await;
    }
}

fn parse_error(error: &serde_json::Error) -> Box<RawValue> {
    let object = ErrorObject::owned(
        ErrorCode::ParseError.code(),
        "the line is not a JSON-RPC request",
        Some(error.to_string()),
    );
    let response = serde_json::json!({ "jsonrpc": "2.0", "id": Id::Null, "error": object });
    serde_json::value::to_raw_value(&response).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

async fn write_messages(
    output: impl AsyncWrite + Send + Unpin,
    mut messages: mpsc::Receiver<Box<RawValue>>,
) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    while let Some(message) = messages.recv().await {
        output
            .write_all(on_one_line(message.get()).as_bytes())
            .await?;
        output.write_all(b"\n").await?;
        if messages.is_empty() {
            output.flush().await?;
        }
    }
    output.flush().await
}

/// In valid JSON a line break is white space, never text.
fn on_one_line(message: &str) -> std::borrow::Cow<'_, str> {
    if message.contains(['\n', '\r']) {
        message.replace(['\n', '\r'], " ").into()
    } else {
        message.into()
    }
}

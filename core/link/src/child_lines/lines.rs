//! The two tasks of a line peer: one reads, one writes.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

use super::routes::{Outgoing, Routes};
use crate::envelope::Incoming;
use crate::limited_reader::{LimitedReader, LineLimits};

/// How much of a peer's output is taken at once.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// A line buffer that grew beyond this is given back after the line.
const KEPT_LINE_BYTES: usize = 1024 * 1024;

/// Reads messages until the peer ends or floods, then fails everything that waits.
pub(super) async fn read(
    stdout: impl AsyncRead + Send + Unpin,
    routes: Arc<Routes>,
    limits: LineLimits,
) {
    let reason = match read_lines(stdout, &routes, limits).await {
        Ok(()) => "its output ended".to_owned(),
        Err(error) => error.to_string(),
    };
    routes.close(reason);
}

async fn read_lines(
    stdout: impl AsyncRead + Send + Unpin,
    routes: &Arc<Routes>,
    limits: LineLimits,
) -> io::Result<()> {
    let limited = LimitedReader::new(stdout, limits);
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, limited);
    let mut line = Vec::new();
    let mut junk_lines = 0;
    while reader.read_until(b'\n', &mut line).await? > 0 {
        if line.last() != Some(&b'\n') {
            return Err(broken("its output ended in the middle of a message"));
        }
        junk_lines = if route(&line, routes).await {
            0
        } else {
            junk_lines + 1
        };
        if junk_lines > limits.max_junk_lines {
            return Err(broken("too many lines in a row are not JSON-RPC messages"));
        }
        line.clear();
        line.shrink_to(KEPT_LINE_BYTES);
    }
    Ok(())
}

/// Whether the line was a message.
async fn route(line: &[u8], routes: &Arc<Routes>) -> bool {
    let message: Incoming<'_> = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(peer = %routes.peer(), %error, "a line that is not a message");
            return false;
        }
    };
    match (message.id, &message.method, &message.params) {
        (Some(id), None, _) => routes.answer(id, message),
        (None, Some(method), Some(params)) => routes.notify(method, params).await,
        _ => return false,
    }
    true
}

/// Writes requests as they come, and flushes whenever none waits. Once the reader has given the peer
/// up, `stdin` is dropped, which tells a child to end.
pub(super) async fn write(
    stdin: impl AsyncWrite + Send + Unpin,
    routes: Arc<Routes>,
    outgoing: Outgoing,
) {
    tokio::select! {
        () = routes.closing() => {}
        Err(error) = write_lines(stdin, outgoing) => {
            routes.close(format!("writing to it failed: {error}"));
        }
    }
}

async fn write_lines(
    stdin: impl AsyncWrite + Send + Unpin,
    mut outgoing: Outgoing,
) -> io::Result<()> {
    let mut writer = BufWriter::new(stdin);
    while let Some(line) = next_line(&mut outgoing).await {
        writer.write_all(line.as_bytes()).await?;
        writer.write_all(b"\n").await?;
        if outgoing.requests.is_empty() && outgoing.unsubscribes.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}

async fn next_line(outgoing: &mut Outgoing) -> Option<String> {
    tokio::select! {
        biased;
        Some(line) = outgoing.unsubscribes.recv() => Some(line),
        Some(line) = outgoing.requests.recv() => Some(line),
        else => None,
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

//! A reader that gives up on a peer that floods instead of speaking.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What a line of JSON-RPC holds somewhere, and a log line does not.
const MESSAGE_MARK: &[u8] = b"\"jsonrpc\"";

/// When a peer's output stops being a conversation.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// The longest line, in bytes: a longer one would fill the memory of whoever waits for its end.
    pub max_line_bytes: usize,
    /// How many lines in a row may be something else than a JSON-RPC message: a program that logs
    /// to standard output without end would keep its reader busy for ever.
    pub max_junk_lines: usize,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self {
            max_line_bytes: 16 * 1024 * 1024,
            max_junk_lines: 1000,
        }
    }
}

/// Passes bytes through unchanged, and turns into an error once [`LineLimits`] are exceeded.
///
/// Put in front of a JSON-RPC client over lines, it makes all pending calls fail at once instead
/// of letting them wait for an answer that was dropped or never comes.
#[derive(Debug)]
pub struct LimitedReader<R> {
    inner: R,
    limits: LineLimits,
    line: LineState,
    junk_lines: usize,
}

#[derive(Debug, Default)]
struct LineState {
    bytes: usize,
    first: Option<u8>,
    mark_matched: usize,
}

impl<R> LimitedReader<R> {
    /// Guards `inner` with `limits`.
    pub fn new(inner: R, limits: LineLimits) -> Self {
        Self {
            inner,
            limits,
            line: LineState::default(),
            junk_lines: 0,
        }
    }

    fn inspect(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend_line(&bytes[..end])?;
            self.end_line()?;
            bytes = &bytes[end + 1..];
        }
        self.extend_line(bytes)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line.extend(bytes);
        if self.line.bytes > self.limits.max_line_bytes {
            return Err(flood(format!(
                "a line is longer than {} bytes",
                self.limits.max_line_bytes
            )));
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.junk_lines = if line.is_message() {
            0
        } else {
            self.junk_lines + 1
        };
        if self.junk_lines > self.limits.max_junk_lines {
            return Err(flood(format!(
                "more than {} lines in a row are not JSON-RPC messages",
                self.limits.max_junk_lines
            )));
        }
        Ok(())
    }
}

impl LineState {
    fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.first.is_none() {
            self.first = bytes.iter().copied().find(|b| !b.is_ascii_whitespace());
        }
        for &byte in bytes {
            if self.mark_matched == MESSAGE_MARK.len() {
                break;
            }
            self.match_mark(byte);
        }
    }

    /// The mark overlaps itself only in its quote, so a mismatch falls back to none or one byte.
    fn match_mark(&mut self, byte: u8) {
        self.mark_matched = if byte == MESSAGE_MARK[self.mark_matched] {
            self.mark_matched + 1
        } else {
            usize::from(byte == MESSAGE_MARK[0])
        };
    }

    fn is_message(&self) -> bool {
        self.first == Some(b'{') && self.mark_matched == MESSAGE_MARK.len()
    }
}

fn flood(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: AsyncRead + Unpin> AsyncRead for LimitedReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let inspected = self.inspect(&buf.filled()[before..]);
        if inspected.is_err() {
            // A failed read has read nothing.
            buf.set_filled(before);
        }
        Poll::Ready(inspected)
    }
}

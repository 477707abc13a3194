//! A reader that gives up on a peer that floods instead of speaking.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// How many lines of any kind may come without anything being asked: a peer that sends messages
    /// nobody waits for would keep its reader busy for ever too. No limit where an answer is a stream.
    pub max_unasked_lines: Option<usize>,
    /// How deep a message may be nested: readers of JSON drop a deeper one, and who waits for it
    /// would never know.
    pub max_depth: usize,
}

/// Says when a peer is asked something, which gives it the right to speak again.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<AtomicUsize>);

impl Default for LineLimits {
    fn default() -> Self {
        Self {
            max_line_bytes: 16 * 1024 * 1024,
            max_junk_lines: 1000,
            max_unasked_lines: None,
            max_depth: 120,
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
    unasked_lines: Asked,
}

#[derive(Debug, Default)]
struct LineState {
    bytes: usize,
    first: Option<u8>,
    mark_matched: usize,
    nesting: Nesting,
}

/// How deep the brackets of a JSON text are nested, outside its strings.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
}

impl Asked {
    /// Something is asked now.
    pub fn now(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// One more line has come; answers how many since something was asked.
    fn count(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl<R> LimitedReader<R> {
    /// Guards `inner` with `limits`.
    pub fn new(inner: R, limits: LineLimits) -> Self {
        Self {
            inner,
            limits,
            line: LineState::default(),
            junk_lines: 0,
            unasked_lines: Asked::default(),
        }
    }

    /// What is to be told when the peer is asked something.
    #[must_use]
    pub fn asked(&self) -> Asked {
        self.unasked_lines.clone()
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
        if self.line.nesting.deepest > self.limits.max_depth {
            return Err(flood(format!(
                "a message is nested deeper than {}",
                self.limits.max_depth
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
        let unasked = self.unasked_lines.count();
        match self.limits.max_unasked_lines {
            Some(most) if unasked > most => Err(flood(format!(
                "more than {most} lines came since anything was asked"
            ))),
            _ => Ok(()),
        }
    }
}

impl LineState {
    fn extend(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.nesting.extend(bytes);
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

impl Nesting {
    /// The deepest point is kept: what closes again was deep all the same.
    fn extend(&mut self, bytes: &[u8]) {
        let mut open = self.depth;
        for &byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => continue,
            }
            self.deepest = self.deepest.max(open);
        }
        self.depth = open;
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

//! A plugin's messages as byte streams, one message a line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pullwright_protocol::abi::{FULL, MAX_MESSAGE_BYTES, TAKEN};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::inbox::Inbox;
use super::instance::Instance;

/// How long to wait before a message is offered again to a plugin that had no room for it.
const OFFER_AGAIN: Duration = Duration::from_millis(1);

/// What a plugin says.
pub struct LibraryReader {
    inbox: Arc<Inbox>,
    line: Vec<u8>,
    read: usize,
}

/// What a plugin is told.
pub struct LibraryWriter {
    instance: Arc<Instance>,
    inbox: Arc<Inbox>,
    line: Vec<u8>,
    /// Whether `line` is whole and the plugin had no room for it.
    waits: bool,
    again: Pin<Box<Sleep>>,
}

impl LibraryReader {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            line: Vec::new(),
            read: 0,
        }
    }
}

impl AsyncRead for LibraryReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.line.len() {
            match ready!(self.inbox.poll_line(context)) {
                Some(line) => (self.line, self.read) = (line, 0),
                None => return Poll::Ready(Ok(())),
            }
        }
        let rest = &self.line[self.read..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.read += length;
        Poll::Ready(Ok(()))
    }
}

impl LibraryWriter {
    pub(super) fn new(instance: Arc<Instance>, inbox: Arc<Inbox>) -> Self {
        Self {
            instance,
            inbox,
            line: Vec::new(),
            waits: false,
            again: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// Gives a whole line to the plugin, as soon as it takes it.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waits {
            ready!(self.again.as_mut().poll(context));
            self.offer()?;
        }
        Poll::Ready(Ok(()))
    }

    fn offer(&mut self) -> io::Result<()> {
        let answer = self.instance.send(&self.line);
        self.waits = answer == FULL;
        match answer {
            TAKEN => {
                self.line.clear();
                self.inbox.asked();
            }
            FULL => self.again.set(sleep(OFFER_AGAIN)),
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(())
    }
}

impl AsyncWrite for LibraryWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(context))?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + piece.len() > MAX_MESSAGE_BYTES {
            let message = format!("a message for a plugin has more than {MAX_MESSAGE_BYTES} bytes");
            return Poll::Ready(Err(io::Error::other(message)));
        }
        self.line.extend_from_slice(piece);
        let Some(end) = end else {
            return Poll::Ready(Ok(bytes.len()));
        };
        if !self.line.is_empty() {
            self.offer()?;
        }
        Poll::Ready(Ok(end + 1))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

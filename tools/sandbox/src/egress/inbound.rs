//! A client's connection, which can be looked into without taking anything from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::limits::{LINGER_TIMEOUT, MAX_LINGER_BYTES};

/// What is read at once while a head is awaited.
const READ_BYTES: usize = 8 * 1024;

/// A client's connection. What was looked at comes first when it is read.
pub(super) struct Inbound {
    stream: TcpStream,
    ahead: Vec<u8>,
}

/// One request of a connection: reading ends where it ends, and closing it leaves the connection
/// open for the next.
pub(super) struct OneRequest<'a> {
    inbound: &'a mut Inbound,
    /// The bytes that are not read yet.
    left: &'a mut u64,
}

impl Inbound {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// What was looked at and not yet read.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Looks further ahead. Nothing more means that the client has closed.
    pub(super) async fn look_further(&mut self) -> io::Result<usize> {
        self.ahead.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.ahead).await
    }

    /// Takes what was looked at.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.ahead.drain(..bytes.min(self.ahead.len()));
    }

    /// Says the last word and closes. Bytes that nobody reads would make the kernel take the
    /// answer back, so some are read.
    pub(super) async fn finish(mut self, answer: &[u8]) {
        let closing = async {
            self.stream.write_all(answer).await?;
            self.stream.shutdown().await?;
            let mut rest = self.stream.take(MAX_LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // Who does not listen to the answer does not get it.
        let _ = tokio::time::timeout(LINGER_TIMEOUT, closing).await;
    }
}

impl<'a> OneRequest<'a> {
    pub(super) fn new(inbound: &'a mut Inbound, left: &'a mut u64) -> Self {
        Self { inbound, left }
    }
}

impl AsyncRead for Inbound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let bytes = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..bytes]);
        self.consume(bytes);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inbound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for OneRequest<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = usize::try_from(*self.left).unwrap_or(usize::MAX);
        let bytes = left.min(buf.remaining());
        if bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(bytes));
        ready!(Pin::new(&mut *self.inbound).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        *self.left -= read as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OneRequest<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inbound).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inbound).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inbound).poll_flush(cx)
    }
}

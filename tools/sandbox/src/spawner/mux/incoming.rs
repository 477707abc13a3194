//! A stream to read from.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Key, Mux, broken};
use crate::spawner::wire::{Frame, WINDOW_BYTES};

/// Credit is given in lumps, so that a reader of single bytes does not answer each with a frame.
const CREDIT_LUMP_BYTES: u32 = WINDOW_BYTES / 4;

/// A stream to read from. Dropping it tells the other side to write no more.
pub(in crate::spawner) struct Incoming {
    mux: Mux,
    key: Key,
}

pub(super) struct State {
    buffer: VecDeque<u8>,
    /// How much the other side may send.
    window: u32,
    /// What was read since credit was last given.
    read: u32,
    /// The other side is done.
    ended: bool,
    /// Nobody reads here any more.
    dropped: bool,
    reader: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            buffer: VecDeque::new(),
            window: WINDOW_BYTES,
            read: 0,
            ended: false,
            dropped: false,
            reader: None,
        }
    }
}

impl State {
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.ended {
            return Err("bytes after the end");
        }
        if bytes.is_empty() {
            return Err("a frame without bytes");
        }
        let window = u32::try_from(bytes.len()).ok();
        let window = window.and_then(|count| self.window.checked_sub(count));
        self.window = window.ok_or("more bytes than there is credit for")?;
        if !self.dropped {
            self.buffer.extend(bytes);
            self.wake();
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), &'static str> {
        if self.ended {
            return Err("a second end");
        }
        self.ended = true;
        self.wake();
        Ok(())
    }

    /// Whether neither side will say more of it.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.dropped
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn read_into(&mut self, out: &mut ReadBuf<'_>) {
        while out.remaining() > 0 && !self.buffer.is_empty() {
            let (first, _) = self.buffer.as_slices();
            let count = first.len().min(out.remaining());
            out.put_slice(&first[..count]);
            self.buffer.drain(..count);
            self.read += u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// The credit to give now.
    fn take_credit(&mut self) -> Option<u32> {
        if self.read < CREDIT_LUMP_BYTES || self.ended {
            return None;
        }
        let credit = std::mem::take(&mut self.read);
        self.window += credit;
        Some(credit)
    }
}

impl Incoming {
    pub(super) fn new(mux: Mux, key: Key) -> Self {
        Self { mux, key }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.mux.lock();
        let over = state.over.clone();
        let Some(stream) = state.incoming.get_mut(&self.key) else {
            return Poll::Ready(over.map_or(Ok(()), |why| Err(broken(&why))));
        };
        if !stream.buffer.is_empty() {
            stream.read_into(out);
            let (id, channel) = self.key;
            if let Some(bytes) = stream.take_credit() {
                drop(state);
                self.mux.send(Frame::Credit { id, channel, bytes });
            }
            return Poll::Ready(Ok(()));
        }
        if stream.ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = over {
            return Poll::Ready(Err(broken(&why)));
        }
        stream.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut state = self.mux.lock();
        let Some(stream) = state.incoming.get_mut(&self.key) else {
            return;
        };
        stream.dropped = true;
        stream.buffer = VecDeque::new();
        if stream.ended {
            state.incoming.remove(&self.key);
            return;
        }
        drop(state);
        let (id, channel) = self.key;
        self.mux.send(Frame::Stop { id, channel });
    }
}

//! A stream to write to.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::{Key, Mux, broken};
use crate::spawner::wire::{Frame, MAX_DATA_BYTES, WINDOW_BYTES};

/// The most bytes that wait to be sent: what a peer that reads nothing costs in memory.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// A stream to write to. Dropping it ends it, once everything written is sent.
pub(in crate::spawner) struct Outgoing {
    mux: Mux,
    key: Key,
}

pub(super) struct State {
    buffer: VecDeque<u8>,
    /// How much may be sent.
    credit: u32,
    /// The writer is done.
    finished: bool,
    /// The end was sent.
    ended: bool,
    /// The other side reads no more.
    stopped: bool,
    /// It is among the sendable ones.
    scheduled: bool,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            buffer: VecDeque::new(),
            credit: WINDOW_BYTES,
            finished: false,
            ended: false,
            stopped: false,
            scheduled: false,
            writer: None,
            watcher: None,
        }
    }
}

impl State {
    pub(super) fn credit(&mut self, bytes: u32) -> Result<(), &'static str> {
        let credit = self.credit.checked_add(bytes);
        match credit {
            Some(credit) if credit <= WINDOW_BYTES && bytes > 0 => {
                self.credit = credit;
                Ok(())
            }
            _ => Err("a wrong credit"),
        }
    }

    pub(super) fn stop(&mut self) -> Result<(), &'static str> {
        if self.stopped {
            return Err("a second stop");
        }
        self.stopped = true;
        self.buffer = VecDeque::new();
        self.wake();
        Ok(())
    }

    /// The next frame of this stream.
    pub(super) fn take(&mut self, (id, channel): Key) -> Option<Frame> {
        self.scheduled = false;
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let count = self.buffer.len().min(credit).min(MAX_DATA_BYTES);
        if count > 0 {
            let bytes: Vec<u8> = self.buffer.drain(..count).collect();
            self.credit -= u32::try_from(count).unwrap_or(u32::MAX).min(self.credit);
            wake(&mut self.writer);
            self.scheduled = self.is_sendable();
            return Some(Frame::Data { id, channel, bytes });
        }
        let ends = self.is_sendable();
        self.ended |= ends;
        ends.then_some(Frame::End { id, channel })
    }

    pub(super) fn is_sendable(&self) -> bool {
        let has_data = !self.buffer.is_empty() && self.credit > 0;
        let can_end = self.finished && !self.ended && self.buffer.is_empty();
        has_data || can_end
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether it becomes one of the sendable ones.
    pub(super) fn enters_schedule(&mut self) -> bool {
        let enters = !self.scheduled && self.is_sendable();
        self.scheduled |= enters;
        enters
    }

    pub(super) fn wake(&mut self) {
        wake(&mut self.writer);
        wake(&mut self.watcher);
    }
}

impl Outgoing {
    pub(super) fn new(mux: Mux, key: Key) -> Self {
        Self { mux, key }
    }

    /// Waits until nobody reads what is written.
    pub(in crate::spawner) async fn stopped(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.mux.lock();
            let over = state.over.is_some();
            match state.outgoing.get_mut(&self.key) {
                Some(stream) if !stream.stopped && !over => {
                    stream.watcher = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    fn finish(&self) {
        let mut state = self.mux.lock();
        if let Some(stream) = state.outgoing.get_mut(&self.key) {
            stream.finished = true;
            self.mux.schedule(&mut state, self.key);
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.mux.lock();
        if let Some(why) = &state.over {
            return Poll::Ready(Err(broken(why)));
        }
        let Some(stream) = state.outgoing.get_mut(&self.key) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if stream.stopped || stream.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = BUFFER_BYTES.saturating_sub(stream.buffer.len());
        if room == 0 {
            stream.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        stream.buffer.extend(&bytes[..count]);
        self.mux.schedule(&mut state, self.key);
        Poll::Ready(Ok(count))
    }

    /// What is written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.finish();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

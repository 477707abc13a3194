//! What a plugin said and nobody has read yet.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pullwright_protocol::abi::{CLOSED, FULL, MAX_MESSAGE_BYTES, TAKEN};

/// How many bytes may wait for a slow reader before the plugin is told to wait. One message may always
/// wait, however long it is.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// A message costs more than its bytes.
const MESSAGE_BYTES: usize = 64;

/// How long to look for an answer before the thread is given up to wait for it: many tools answer sooner
/// than a thread falls asleep and wakes again.
const LOOK_LIMIT: Duration = Duration::from_micros(60);

/// Messages on their way from a plugin's threads to one reader.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Whether the plugin was told something since the last look.
    asked: AtomicBool,
    /// Whether there is something to read, or will never be.
    ready: AtomicBool,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    closed: bool,
    reader: Option<Waker>,
}

impl Inbox {
    /// Takes a message over as one line, from any thread.
    pub(super) fn push(&self, message: &[u8]) -> c_int {
        let mut state = self.lock();
        if state.closed {
            return CLOSED;
        }
        if message.len() > MAX_MESSAGE_BYTES {
            self.shut(&mut state);
            return CLOSED;
        }
        let size = message.len() + MESSAGE_BYTES;
        if state.bytes > 0 && state.bytes + size > MAX_WAITING_BYTES {
            return FULL;
        }
        state.bytes += size;
        state.messages.push_back(line(message));
        self.ready.store(true, Ordering::Release);
        state.wake();
        TAKEN
    }

    /// The plugin was told something, which it may answer at once.
    pub(super) fn asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Takes no more messages. Those that wait are still read.
    pub(super) fn close(&self) {
        self.shut(&mut self.lock());
    }

    /// The next line, or nothing after the last.
    pub(super) fn poll_line(&self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.look();
        }
        let mut state = self.lock();
        if let Some(line) = state.messages.pop_front() {
            state.bytes -= line.len() - 1 + MESSAGE_BYTES;
            return Poll::Ready(Some(line));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        self.ready.store(false, Ordering::Relaxed);
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Once for each message to the plugin, and briefly, so that nobody else is held up.
    fn look(&self) {
        let begin = Instant::now();
        while !self.ready.load(Ordering::Acquire) && begin.elapsed() < LOOK_LIMIT {
            std::hint::spin_loop();
        }
    }

    fn shut(&self, state: &mut State) {
        state.closed = true;
        self.ready.store(true, Ordering::Release);
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// In JSON a line break is white space, never text.
fn line(message: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend(message.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
    line.push(b'\n');
    line
}

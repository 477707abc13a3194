//! What a plugin said and nobody has read yet.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pullwright_protocol::abi::{CLOSED, FULL, MAX_MESSAGE_BYTES, TAKEN};

/// How many bytes may wait for a slow reader before the plugin is told to wait. One message may always
/// wait, however long it is.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// A message costs more than its bytes.
const MESSAGE_BYTES: usize = 64;

/// Messages on their way from a plugin's threads to one reader.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
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
            state.close();
            return CLOSED;
        }
        let size = message.len() + MESSAGE_BYTES;
        if state.bytes > 0 && state.bytes + size > MAX_WAITING_BYTES {
            return FULL;
        }
        state.bytes += size;
        state.messages.push_back(line(message));
        state.wake();
        TAKEN
    }

    /// Takes no more messages. Those that wait are still read.
    pub(super) fn close(&self) {
        self.lock().close();
    }

    /// The next line, or nothing after the last.
    pub(super) fn poll_line(&self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut state = self.lock();
        if let Some(line) = state.messages.pop_front() {
            state.bytes -= line.len() - 1 + MESSAGE_BYTES;
            return Poll::Ready(Some(line));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

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

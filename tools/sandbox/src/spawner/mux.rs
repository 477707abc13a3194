//! Many byte streams over one, for either side.
//!
//! What is to be sent waits here until the one writer asks for it, and what was received waits here
//! until its reader takes it. Both are bounded: a writer waits while [`outgoing::BUFFER_BYTES`] of
//! it are unsent, and a peer that sends more than there is credit for breaks the stream. Frames
//! without bytes of a process go first. They need no bound of their own: each one answers something
//! that is itself bounded.

mod incoming;
mod outgoing;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::wire::{Channel, Frame};

pub(super) use incoming::Incoming;
pub(super) use outgoing::Outgoing;

/// A process's stream.
type Key = (u32, Channel);

/// The streams of one side.
#[derive(Clone)]
pub(super) struct Mux {
    shared: Arc<Shared>,
}

/// Which side this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Does not trust the other one: what it says of streams that are not there breaks the stream.
    Host,
    /// Passes over what the host said of a stream before it knew that it ended.
    Inside,
}

/// Why the other side cannot be gone on with.
#[derive(Debug, thiserror::Error)]
#[error("{what} ({} of process {id})", channel.name())]
pub(super) struct Violation {
    what: &'static str,
    id: u32,
    channel: Channel,
}

struct Shared {
    side: Side,
    state: Mutex<State>,
    /// Told when there is something to send.
    work: Notify,
}

#[derive(Default)]
struct State {
    control: VecDeque<Frame>,
    outgoing: BTreeMap<Key, outgoing::State>,
    incoming: BTreeMap<Key, incoming::State>,
    /// Outgoing streams that have something to send and may. Each is there once.
    sendable: VecDeque<Key>,
    /// Why there will be no more.
    over: Option<Arc<str>>,
}

impl Mux {
    pub(super) fn new(side: Side) -> Self {
        Self {
            shared: Arc::new(Shared {
                side,
                state: Mutex::default(),
                work: Notify::new(),
            }),
        }
    }

    /// Opens a stream to write to.
    pub(super) fn outgoing(&self, id: u32, channel: Channel) -> Outgoing {
        let state = outgoing::State::default();
        self.lock().outgoing.insert((id, channel), state);
        Outgoing::new(self.clone(), (id, channel))
    }

    /// Opens a stream to read from.
    pub(super) fn incoming(&self, id: u32, channel: Channel) -> Incoming {
        let state = incoming::State::default();
        self.lock().incoming.insert((id, channel), state);
        Incoming::new(self.clone(), (id, channel))
    }

    /// How many streams are open.
    pub(super) fn streams(&self) -> usize {
        let state = self.lock();
        state.outgoing.len() + state.incoming.len()
    }

    /// Sends a frame that is not of a stream.
    pub(super) fn send(&self, frame: Frame) {
        let mut state = self.lock();
        if state.over.is_none() {
            state.control.push_back(frame);
            self.shared.work.notify_one();
        }
    }

    /// Takes in what the other side said; gives back a frame that is not of a stream.
    pub(super) fn receive(&self, frame: Frame) -> Result<Option<Frame>, Violation> {
        let mut state = self.lock();
        match frame {
            Frame::Data { id, channel, bytes } => {
                self.to_incoming(&mut state, (id, channel), |stream| stream.data(&bytes))?;
            }
            Frame::End { id, channel } => {
                self.to_incoming(&mut state, (id, channel), incoming::State::end)?;
            }
            Frame::Credit { id, channel, bytes } => {
                self.to_outgoing(&mut state, (id, channel), |stream| stream.credit(bytes))?;
            }
            Frame::Stop { id, channel } => {
                self.to_outgoing(&mut state, (id, channel), outgoing::State::stop)?;
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// The next frame to send, once there is one.
    pub(super) async fn next(&self) -> Frame {
        loop {
            if let Some(frame) = self.try_next() {
                return frame;
            }
            self.shared.work.notified().await;
        }
    }

    /// The next frame to send, if there is one.
    pub(super) fn try_next(&self) -> Option<Frame> {
        let mut state = self.lock();
        if let Some(frame) = state.control.pop_front() {
            return Some(frame);
        }
        while let Some(key) = state.sendable.pop_front() {
            let Some(stream) = state.outgoing.get_mut(&key) else {
                continue;
            };
            let frame = stream.take(key);
            if stream.is_sendable() {
                state.sendable.push_back(key);
            } else if stream.is_ended() && self.shared.side == Side::Inside {
                state.outgoing.remove(&key);
            }
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    /// Forgets an outgoing stream about which nothing more is said by either side.
    pub(super) fn forget_outgoing(&self, id: u32, channel: Channel) {
        let removed = self.lock().outgoing.remove(&(id, channel));
        if let Some(mut stream) = removed {
            stream.wake();
        }
    }

    /// Forgets an incoming stream about which nothing more is said by either side.
    pub(super) fn forget_incoming(&self, id: u32, channel: Channel) {
        let removed = self.lock().incoming.remove(&(id, channel));
        if let Some(mut stream) = removed {
            stream.wake();
        }
    }

    /// Ends every stream, with this as the error of those that were not at their end.
    pub(super) fn fail(&self, why: &str) {
        let mut state = self.lock();
        if state.over.is_some() {
            return;
        }
        state.over = Some(why.into());
        state.control.clear();
        state.outgoing.values_mut().for_each(outgoing::State::wake);
        state.incoming.values_mut().for_each(incoming::State::wake);
    }

    /// Why everything ended, if it has.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.lock().over.clone()
    }

    fn to_incoming(
        &self,
        state: &mut State,
        key: Key,
        act: impl FnOnce(&mut incoming::State) -> Result<(), &'static str>,
    ) -> Result<(), Violation> {
        let Some(stream) = state.incoming.get_mut(&key) else {
            return self.unknown(key);
        };
        act(stream).map_err(|what| violation(what, key))?;
        if stream.is_done() {
            state.incoming.remove(&key);
        }
        Ok(())
    }

    fn to_outgoing(
        &self,
        state: &mut State,
        key: Key,
        act: impl FnOnce(&mut outgoing::State) -> Result<(), &'static str>,
    ) -> Result<(), Violation> {
        let Some(stream) = state.outgoing.get_mut(&key) else {
            return self.unknown(key);
        };
        act(stream).map_err(|what| violation(what, key))?;
        self.schedule(state, key);
        Ok(())
    }

    /// Lets the writer know of a stream that may have something to send.
    fn schedule(&self, state: &mut State, key: Key) {
        if let Some(stream) = state.outgoing.get_mut(&key)
            && stream.enters_schedule()
        {
            state.sendable.push_back(key);
            self.shared.work.notify_one();
        }
    }

    fn unknown(&self, key: Key) -> Result<(), Violation> {
        match self.shared.side {
            Side::Host => Err(violation("something about a channel that is not open", key)),
            Side::Inside => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

fn violation(what: &'static str, (id, channel): Key) -> Violation {
    Violation { what, id, channel }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, why.to_owned())
}

//! The processes that were asked for, as long as they have not ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_core::sandbox::ProcessExit;
use tokio::sync::oneshot;

use super::wire::Exit;

/// The most processes at once: with their windows, what a hostile inside can make us hold.
pub(super) const MAX_PROCESSES: usize = 256;

/// The codes and signals there are. Others would overflow where they are reckoned with.
const MAX_EXIT_CODE: i32 = 255;
const MAX_SIGNAL: i32 = 127;

/// The processes of one sandbox.
#[derive(Default)]
pub(super) struct Calls {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u32,
    live: BTreeMap<u32, Call>,
}

struct Call {
    /// Taken when it is started.
    starting: Option<oneshot::Sender<Result<(), String>>>,
    exited: oneshot::Sender<ProcessExit>,
}

/// What a process's answers are waited for with.
pub(super) struct Awaited {
    pub(super) id: u32,
    pub(super) started: oneshot::Receiver<Result<(), String>>,
    pub(super) exit: oneshot::Receiver<ProcessExit>,
}

/// An answer to something that was not asked.
#[derive(Debug, thiserror::Error)]
#[error("{what} (process {id})")]
pub(super) struct Unasked {
    what: &'static str,
    id: u32,
}

impl Calls {
    /// A new process; none where there are too many.
    pub(super) fn add(&self) -> Option<Awaited> {
        let mut state = self.lock();
        if state.live.len() >= MAX_PROCESSES {
            return None;
        }
        let id = state.last.checked_add(1)?;
        state.last = id;
        let (starting, started) = oneshot::channel();
        let (exited, exit) = oneshot::channel();
        let call = Call {
            starting: Some(starting),
            exited,
        };
        state.live.insert(id, call);
        Some(Awaited { id, started, exit })
    }

    pub(super) fn started(&self, id: u32) -> Result<(), Unasked> {
        let mut state = self.lock();
        let call = state.live.get_mut(&id);
        let starting = call.and_then(|call| call.starting.take());
        let starting = starting.ok_or(unasked("a start that was not asked for", id))?;
        // Nobody may be waiting any more.
        let _ = starting.send(Ok(()));
        Ok(())
    }

    pub(super) fn refused(&self, id: u32, why: String) -> Result<(), Unasked> {
        let mut state = self.lock();
        let call = state.live.get_mut(&id);
        let starting = call.and_then(|call| call.starting.take());
        let starting = starting.ok_or(unasked("a refusal of nothing", id))?;
        state.live.remove(&id);
        let _ = starting.send(Err(why));
        Ok(())
    }

    pub(super) fn exited(&self, id: u32, exit: Exit) -> Result<(), Unasked> {
        let exit = match exit {
            Exit::Code(code) if (0..=MAX_EXIT_CODE).contains(&code) => ProcessExit::Code(code),
            Exit::Signal(signal) if (1..=MAX_SIGNAL).contains(&signal) => {
                ProcessExit::Signal(signal)
            }
            _ => return Err(unasked("an end that no process has", id)),
        };
        let mut state = self.lock();
        // What is taken out here is told nothing more.
        let ran = state
            .live
            .get(&id)
            .is_some_and(|call| call.starting.is_none());
        let call = ran.then(|| state.live.remove(&id)).flatten();
        let call = call.ok_or(unasked("the end of no process", id))?;
        let _ = call.exited.send(exit);
        Ok(())
    }

    /// Nobody will answer any more.
    pub(super) fn give_up(&self) {
        self.lock().live.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unasked(what: &'static str, id: u32) -> Unasked {
    Unasked { what, id }
}

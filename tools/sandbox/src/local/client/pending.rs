//! The processes that are awaited.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_core::sandbox::{ProcessExit, SandboxError};
use tokio::sync::{oneshot, watch};

use super::lost;
use crate::local::wire::{End, Excess, Reply};

/// What became of a request to start.
pub(super) enum Answer {
    Started,
    Refused(io::Error),
}

/// What the one who starts a process waits for.
pub(super) struct Expected {
    pub(super) answer: oneshot::Receiver<Answer>,
    pub(super) exit: oneshot::Receiver<ProcessExit>,
}

/// A process that init has not been told of. Dropped as such, it is not awaited any more.
pub(super) struct Unsent<'a> {
    pub(super) id: u64,
    pending: &'a Pending,
    known: bool,
}

impl Unsent<'_> {
    /// Init knows of it, so that its end will be told.
    pub(super) fn sent(mut self) {
        self.known = true;
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.known {
            self.pending.state().processes.remove(&self.id);
        }
    }
}

pub(super) struct Pending {
    state: Mutex<State>,
    gone: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    next: u64,
    processes: HashMap<u64, Process>,
    /// Why nothing is started any more.
    closed: Option<Cow<'static, str>>,
    closed_by_us: bool,
    /// It is known before those who wait are told, who ask at once why it ended.
    ended: bool,
}

struct Process {
    answer: Option<oneshot::Sender<Answer>>,
    exit: oneshot::Sender<ProcessExit>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            gone: watch::Sender::new(false),
        }
    }

    /// Makes place for a process that is to be started.
    pub(super) fn expect(&self) -> Result<(Unsent<'_>, Expected), SandboxError> {
        let mut state = self.state();
        if let Some(reason) = &state.closed {
            return Err(lost(reason));
        }
        let id = state.next;
        state.next += 1;
        let (answer, answered) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        let answer = Some(answer);
        state.processes.insert(id, Process { answer, exit });
        let expected = Expected {
            answer: answered,
            exit: exited,
        };
        let unsent = Unsent {
            id,
            pending: self,
            known: false,
        };
        Ok((unsent, expected))
    }

    /// Whether a process may still run.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.state().processes.contains_key(&id)
    }

    /// Hands a message on. Nobody may be waiting for it any more.
    pub(super) fn take_note(&self, reply: Reply) {
        let mut state = self.state();
        match reply {
            Reply::Started { id, .. } => {
                let process = state.processes.get_mut(&id);
                if let Some(answer) = process.and_then(|process| process.answer.take()) {
                    drop(answer.send(Answer::Started));
                }
            }
            Reply::Refused { id, why, errno } => {
                // Of one that was started, init tells the end.
                let refused = |process: &&mut Process| process.answer.is_some();
                if state.processes.get_mut(&id).filter(refused).is_some()
                    && let Some(process) = state.processes.remove(&id)
                    && let Some(answer) = process.answer
                {
                    drop(answer.send(Answer::Refused(error_of(why, errno))));
                }
            }
            Reply::Exit { id, end } => {
                if let Some(process) = state.processes.remove(&id) {
                    let _ = process.exit.send(exit_of(end));
                }
            }
            Reply::DiskFull { excess } => {
                state.closed.get_or_insert(Cow::Owned(disk_full(excess)));
            }
            Reply::Created | Reply::Ready | Reply::Failed(_) => {}
        }
    }

    /// Starts nothing any more, as somebody wishes.
    pub(super) fn close(&self, reason: &'static str) {
        let mut state = self.state();
        state.closed_by_us |= state.closed.is_none();
        state.closed.get_or_insert(Cow::Borrowed(reason));
    }

    /// Tells all who wait that the sandbox is gone, and their processes with it.
    pub(super) fn end(&self) {
        let processes = {
            let mut state = self.state();
            state.ended = true;
            state.closed.get_or_insert(Cow::Borrowed(DIED));
            std::mem::take(&mut state.processes)
        };
        for (_, process) in processes {
            let _ = process.exit.send(ProcessExit::Signal(libc::SIGKILL));
        }
        self.gone.send_replace(true);
    }

    pub(super) async fn gone(&self) {
        // It fails only without a sender, which this is.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Why the sandbox is gone, where nobody closed it.
    pub(super) fn ended_by_itself(&self) -> Option<SandboxError> {
        let by_itself = {
            let state = self.state();
            state.ended && !state.closed_by_us
        };
        by_itself.then(|| self.lost())
    }

    /// The error of one whose sandbox is gone.
    pub(super) fn lost(&self) -> SandboxError {
        lost(self.state().closed.as_deref().unwrap_or(DIED))
    }

    /// No code here panics with the lock held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const DIED: &str = "its process 1 ended, killed from outside or for lack of memory";

fn disk_full(excess: Excess) -> String {
    let used = match excess {
        // No setting raises this one.
        Excess::Files(most) => {
            return format!("it made more than {most} files, which is more than it may");
        }
        Excess::Bytes(bytes) => format!("{} MB of disk", bytes >> 20),
        Excess::Unknown => "more disk than could be counted".to_owned(),
    };
    format!(
        "it used {used}, which is more than it may; raise `[sandbox] disk_mb` in plugins.toml if \
         the work needs that much"
    )
}

fn error_of(why: String, errno: i32) -> io::Error {
    let error = io::Error::from_raw_os_error(errno);
    match (errno, error.kind()) {
        (0, _) => io::Error::other(why),
        (_, kind @ io::ErrorKind::NotFound) => io::Error::new(kind, why),
        (_, kind) => io::Error::new(kind, format!("{why}: {error}")),
    }
}

fn exit_of(end: End) -> ProcessExit {
    match end {
        End::Code(code) => ProcessExit::Code(code),
        End::Signal(signal) => ProcessExit::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_there_was_too_much_of() {
        let bytes = disk_full(Excess::Bytes(5 << 20));
        assert!(bytes.starts_with("it used 5 MB of disk"), "{bytes}");
        let unknown = disk_full(Excess::Unknown);
        assert!(unknown.contains("more disk than could be counted"));
        assert_eq!(
            disk_full(Excess::Files(2_000_000)),
            "it made more than 2000000 files, which is more than it may"
        );
    }
}

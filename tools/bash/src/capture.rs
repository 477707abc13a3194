//! What a command prints: read to the end, cleaned, kept within bounds.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_tool_kit::HeadTail;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use crate::clean::Cleaner;
use crate::live::Live;

/// How much of a command's output the model sees, in bytes; more would push the task itself out of
/// its attention.
const MAX_SHOWN_BYTES: usize = 30_000;

/// How much is read at first: most commands print little, and fresh memory costs time.
const FIRST_READ_BYTES: usize = 4 * 1024;

/// How much is read at once from a command that prints much: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// How the model sees what was left out.
const HINT: &str =
    "To see it, run the command again with `>file` and read the file, or filter with grep or tail";

/// The reading end of a command's output.
#[derive(Debug)]
pub(crate) struct Printed {
    pipe: Receiver,
    buffer: Vec<u8>,
    ended: bool,
}

/// The output of one command, so far.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    kept: Mutex<Kept>,
    /// Wakes who streams the output, when it is complete.
    pub(crate) finished: Notify,
}

/// The output of one command.
#[derive(Debug)]
pub(crate) struct Kept {
    cleaner: Cleaner,
    cleaned: Vec<u8>,
    shown: HeadTail,
    /// How many bytes were read, before cleaning.
    pub(crate) bytes: u64,
    /// What a person may watch meanwhile.
    pub(crate) live: Live,
}

impl Printed {
    /// Reads from `pipe`.
    pub(crate) fn new(pipe: PipeReader) -> io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(OwnedFd::from(pipe))?,
            buffer: vec![0; FIRST_READ_BYTES],
            ended: false,
        })
    }

    /// Whether nobody can write any more.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads until nobody can write any more. May be dropped and called again.
    pub(crate) async fn read_into(&mut self, capture: &Capture) {
        while let Some(piece) = self.piece().await {
            capture.lock().push(piece);
        }
    }

    /// Reads on, so that a process in the background is not ended by a closed pipe.
    pub(crate) async fn discard(mut self) {
        while self.piece().await.is_some() {}
    }

    async fn piece(&mut self) -> Option<&[u8]> {
        if self.ended {
            return None;
        }
        let read = self.pipe.read(&mut self.buffer).await.unwrap_or_default();
        self.ended = read == 0;
        if read == self.buffer.len() {
            self.buffer.resize(READ_BYTES, 0);
        }
        (read > 0).then(|| &self.buffer[..read])
    }
}

impl Capture {
    /// The output so far.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more is read.
    pub(crate) fn finish(&self) {
        self.lock().finish();
        self.finished.notify_one();
    }

    /// The number of bytes the command printed, and what is shown of them.
    pub(crate) fn into_shown(self) -> (u64, String) {
        let kept = self.kept.into_inner();
        let kept = kept.unwrap_or_else(PoisonError::into_inner);
        (kept.bytes, kept.shown.render(HINT))
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            cleaner: Cleaner::default(),
            cleaned: Vec::new(),
            shown: HeadTail::new(MAX_SHOWN_BYTES),
            bytes: 0,
            live: Live::default(),
        }
    }
}

impl Kept {
    fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.cleaner.push(piece, &mut self.cleaned);
        self.settle();
    }

    fn finish(&mut self) {
        self.cleaner.finish(&mut self.cleaned);
        self.settle();
    }

    fn settle(&mut self) {
        self.shown.push(&self.cleaned);
        self.live.push(&self.cleaned);
        self.cleaned.clear();
    }
}

//! What a child writes to standard error: logged up to a limit, its end kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tracing::Instrument;

/// The longest line that goes to the log; the rest of it is a line of its own.
const MAX_LINE_BYTES: u64 = 4096;
/// How much of a child's standard error goes to the log before it is only drained.
const MAX_LOGGED_BYTES: usize = 1024 * 1024;
/// How many lines are kept for error messages.
const TAIL_LINES: usize = 20;

/// The last lines of a child's standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct StderrTail {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl StderrTail {
    /// Reads `stderr` to its end in the background, so that the child never waits for it.
    pub(super) fn drain(name: String, stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let tail = Self::default();
        let writer = tail.clone();
        let reading = async move { writer.read(&name, BufReader::new(stderr)).await };
        tokio::spawn(reading.in_current_span());
        tail
    }

    pub(super) fn text(&self) -> String {
        let lines: Vec<String> = self.lines().iter().cloned().collect();
        lines.join("\n")
    }

    async fn read(&self, name: &str, mut stderr: BufReader<impl AsyncRead + Send + Unpin>) {
        let mut logged = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = (&mut stderr).take(MAX_LINE_BYTES);
            match limited.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(bytes) => logged += bytes,
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if logged <= MAX_LOGGED_BYTES {
                tracing::info!(child = name, "{text}");
            }
            self.push(text);
        }
    }

    fn push(&self, line: String) {
        let mut lines = self.lines();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

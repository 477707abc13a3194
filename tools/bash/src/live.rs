//! Output that a person may watch while the command runs.

use std::time::Duration;

use pullwright_tool_kit::Call;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::capture::Capture;

/// How often a watcher hears of a running command; a command that ends sooner is not streamed.
const LIVE_INTERVAL: Duration = Duration::from_millis(75);

/// The most one message carries, in bytes.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// The most a watcher sees of one command, in bytes, so that endless output does not flood the log.
const MAX_STREAMED_BYTES: usize = 256 * 1024;

/// What a watcher reads where the stream stops.
const STOPPED: &str = "[... the command prints more than is shown while it runs ...]\n";

/// How long a watcher that does not take the rest may hold up the answer.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// What was printed and not yet sent.
#[derive(Debug, Default)]
pub(crate) struct Live {
    waiting: String,
    taken_bytes: usize,
    stopped: bool,
}

/// Sends what the command prints until it has ended, then the rest.
pub(crate) async fn stream(capture: &Capture, call: &Call) {
    let mut tick = interval_at(Instant::now() + LIVE_INTERVAL, LIVE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streaming = false;
    loop {
        tokio::select! {
            () = capture.finished.notified() => break,
            _ = tick.tick() => streaming |= send(capture, call).await,
        }
    }
    if streaming {
        let rest = async { while send(capture, call).await {} };
        let _ = timeout(FLUSH_LIMIT, rest).await;
    }
}

/// Sends one message, if there is something to say.
async fn send(capture: &Capture, call: &Call) -> bool {
    let (bytes, text) = {
        let mut kept = capture.lock();
        (kept.bytes, kept.live.take())
    };
    if text.is_empty() {
        return false;
    }
    call.progress(bytes, &text).await;
    true
}

impl Live {
    /// Takes in cleaned output that ends between two characters.
    pub(crate) fn push(&mut self, cleaned: &[u8]) {
        if self.stopped || cleaned.is_empty() {
            return;
        }
        let room = MAX_STREAMED_BYTES - self.taken_bytes;
        let piece = &cleaned[..cleaned.len().min(room)];
        self.taken_bytes += piece.len();
        self.waiting.push_str(&String::from_utf8_lossy(piece));
        if piece.len() < cleaned.len() {
            self.stopped = true;
            self.waiting.push('\n');
            self.waiting.push_str(STOPPED);
        }
    }

    fn take(&mut self) -> String {
        let end = self.waiting.floor_char_boundary(MAX_MESSAGE_BYTES);
        let rest = self.waiting.split_off(end);
        std::mem::replace(&mut self.waiting, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_bounded_and_never_cuts_a_character() {
        let mut live = Live::default();
        live.push("aé".repeat(MAX_MESSAGE_BYTES).as_bytes());
        let mut whole = String::new();
        loop {
            let message = live.take();
            assert!(message.len() <= MAX_MESSAGE_BYTES);
            if message.is_empty() {
                break;
            }
            whole.push_str(&message);
        }
        assert_eq!(whole, "aé".repeat(MAX_MESSAGE_BYTES));
    }

    #[test]
    fn the_stream_stops_at_its_limit_and_says_so() {
        let mut live = Live::default();
        for _ in 0..1000 {
            live.push(&[b'x'; 1000]);
        }
        assert_eq!(live.waiting.len(), MAX_STREAMED_BYTES + 1 + STOPPED.len());
        assert!(live.waiting.ends_with(STOPPED));
    }
}

//! Reads what a process writes, without keeping all of it.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// What is kept of the beginning and counted beyond it.
const KEPT_BYTES: usize = 1 << 20;
/// What a usual reader and a slow one take at once.
const READ_BYTES: usize = 64 * 1024;
const SLOW_READ_BYTES: usize = 512;
/// The line after which something is done to the process.
const READY: &[u8] = b"ready\n";
/// By then, a slow reader's process has had to wait for it.
const LATE_BYTES: u64 = 32 << 20;

/// What was written.
#[derive(Default)]
pub(in super::super) struct Captured {
    /// The beginning.
    pub(in super::super) kept: Vec<u8>,
    pub(in super::super) bytes: u64,
}

pub(super) struct Capture {
    closed: Arc<AtomicBool>,
    done: Receiver<Captured>,
}

impl Capture {
    /// Tells `news` when the process has said that it is ready, or has written much.
    pub(super) fn start(
        from: impl Read + Send + 'static,
        slowly: bool,
        news: Option<Sender<()>>,
    ) -> Self {
        let closed = Arc::new(AtomicBool::new(false));
        let (tell, done) = mpsc::channel();
        let is_closed = Arc::clone(&closed);
        std::thread::spawn(move || tell.send(read(from, slowly, news, &is_closed)));
        Self { closed, done }
    }

    /// Closes the reading end with the next byte that comes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// All that was written, unless somebody may still write after `patience`.
    pub(super) fn finish(self, patience: Duration) -> Option<Captured> {
        self.done.recv_timeout(patience).ok()
    }
}

fn read(
    mut from: impl Read,
    slowly: bool,
    mut news: Option<Sender<()>>,
    closed: &AtomicBool,
) -> Captured {
    let mut captured = Captured::default();
    let mut buffer = vec![0; if slowly { SLOW_READ_BYTES } else { READ_BYTES }];
    while !closed.load(Ordering::Relaxed) {
        let Ok(count @ 1..) = from.read(&mut buffer) else {
            break;
        };
        captured.add(&buffer[..count]);
        let is_news = match slowly {
            true => captured.bytes > LATE_BYTES,
            false => captured.kept.starts_with(READY),
        };
        if is_news && let Some(news) = news.take() {
            // Nobody may wait for it.
            let _ = news.send(());
        }
    }
    captured
}

impl Captured {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend(&bytes[..room]);
        self.bytes += bytes.len() as u64;
    }

    pub(in super::super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    pub(in super::super) fn hex(&self) -> String {
        self.kept.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(2000).collect();
        write!(f, "{} bytes: {text:?}", self.bytes)
    }
}

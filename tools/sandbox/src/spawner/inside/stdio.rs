//! Standard input and output, each on a thread of its own.
//!
//! Reading and writing them cannot be broken off, and the runtime would wait for it when the process
//! is to end; it does not wait for these threads.

use std::io::{self, Read, Write};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::spawner::wire::{Frame, HEADER_BYTES, MARKER, body_len};

/// Frames between a thread and the rest: few, since what waits there is held in memory.
const QUEUE: usize = 8;

/// How long the last frame may take to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// A frame of the host's, or what is wrong with it.
pub(super) type Heard = Result<Frame, String>;

/// What speaks to the host.
pub(super) struct Mouth {
    words: mpsc::Sender<Vec<u8>>,
    finished: oneshot::Receiver<()>,
}

/// Starts both threads.
pub(super) fn start() -> io::Result<(mpsc::Receiver<Heard>, Mouth)> {
    let (heard, frames) = mpsc::channel(QUEUE);
    let (words, spoken) = mpsc::channel(QUEUE);
    let (done, finished) = oneshot::channel();
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    named("stdin").spawn(move || listen(&mut io::stdin().lock(), &heard))?;
    named("stdout").spawn(move || {
        speak(&mut io::stdout().lock(), spoken);
        // Nobody may be waiting for it.
        let _ = done.send(());
    })?;
    Ok((frames, Mouth { words, finished }))
}

impl Mouth {
    /// Says the first frame.
    pub(super) async fn begin(&mut self, frame: Frame) {
        let _ = self.words.send(MARKER.to_vec()).await;
        self.say(frame).await;
    }

    /// Says a frame. False if nobody can hear it any more.
    pub(super) async fn say(&mut self, frame: Frame) -> bool {
        match frame.encode() {
            Ok(bytes) => self.words.send(bytes).await.is_ok(),
            // What we say is short, but for the reasons of others.
            Err(_) => true,
        }
    }

    /// Waits until everything is said.
    pub(super) async fn finish(self) {
        drop(self.words);
        let _ = tokio::time::timeout(FINISH_TIMEOUT, self.finished).await;
    }
}

fn listen(stdin: &mut impl Read, heard: &mpsc::Sender<Heard>) {
    loop {
        let frame = match read(stdin) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        let last = frame.is_err();
        if heard.blocking_send(frame).is_err() || last {
            return;
        }
    }
}

fn read(stdin: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER_BYTES];
    match stdin.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut body = vec![0; body_len(header).map_err(io::Error::other)?];
    stdin.read_exact(&mut body)?;
    Frame::decode(&body).map(Some).map_err(io::Error::other)
}

fn speak(stdout: &mut impl Write, mut words: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = words.blocking_recv() {
        let mut written = stdout.write_all(&bytes);
        if words.is_empty() {
            written = written.and_then(|()| stdout.flush());
        }
        if written.is_err() {
            return;
        }
    }
}

//! Messages between the host's threads and the server's runtime, without loss and within bounds.

use std::ffi::c_int;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pullwright_protocol::abi::{CLOSED, FULL, Host, MAX_MESSAGE_BYTES, TAKEN};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;

/// How many bytes may wait for the server; one message may always wait, however long it is.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How many messages may.
const MAX_WAITING_MESSAGES: usize = 1024;

/// How many bytes are on their way within the runtime, each way.
const PIPE_BYTES: usize = 64 * 1024;

/// How long to look for a message before the thread is put to sleep.
const LOOK_LIMIT: Duration = Duration::from_micros(60);

/// How long to wait before a message is offered again to a host that had no room for it.
const OFFER_AGAIN: Duration = Duration::from_millis(1);

/// The host, as long as it may be called.
pub(super) struct Outside(Mutex<Option<Callbacks>>);

struct Callbacks(Host);

// SAFETY: the interface says that the callbacks may be called from any thread.
unsafe impl Send for Callbacks {}

/// The host's end.
pub(super) struct Sender {
    messages: mpsc::Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// The runtime's ends.
pub(super) struct Ends {
    messages: mpsc::Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    outside: Arc<Outside>,
}

/// Connects a host to a runtime.
pub(super) fn bridge(outside: &Arc<Outside>) -> (Sender, Ends) {
    let (sender, messages) = mpsc::channel(MAX_WAITING_MESSAGES);
    let waiting = Arc::new(AtomicUsize::new(0));
    let ends = Ends {
        messages,
        waiting: Arc::clone(&waiting),
        outside: Arc::clone(outside),
    };
    let sender = Sender {
        messages: sender,
        waiting,
    };
    (sender, ends)
}

/// Whether a message has arrived.
pub(super) struct Arrivals(Arc<AtomicUsize>);

impl Arrivals {
    /// Looks for the next message for a moment before the thread is put to sleep: a host that has just
    /// been answered often asks again sooner than a thread falls asleep and wakes.
    pub(super) fn look(&self) {
        let begin = Instant::now();
        while self.0.load(Ordering::Acquire) == 0 && begin.elapsed() < LOOK_LIMIT {
            std::hint::spin_loop();
        }
    }
}

impl Sender {
    /// Says whether a message has arrived.
    pub(super) fn arrivals(&self) -> Arrivals {
        Arrivals(Arc::clone(&self.waiting))
    }

    /// Takes a message over, from any thread.
    pub(super) fn send(&self, message: &[u8]) -> c_int {
        if message.len() > MAX_MESSAGE_BYTES {
            return CLOSED;
        }
        let before = self.waiting.fetch_add(message.len(), Ordering::AcqRel);
        let fits = before == 0 || before + message.len() <= MAX_WAITING_BYTES;
        let answer = match fits {
            true => match self.messages.try_send(message.to_vec()) {
                Ok(()) => return TAKEN,
                Err(mpsc::error::TrySendError::Full(_)) => FULL,
                Err(mpsc::error::TrySendError::Closed(_)) => CLOSED,
            },
            false => FULL,
        };
        self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        answer
    }
}

impl Ends {
    /// The streams of the server, and what moves messages between them and the host.
    pub(super) fn open(
        self,
    ) -> (
        ReadHalf<DuplexStream>,
        WriteHalf<DuplexStream>,
        impl Future<Output = ()>,
    ) {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (from_server, to_server) = tokio::io::split(ours);
        let (read, write) = tokio::io::split(theirs);
        let pumps = async move {
            let outside = Arc::clone(&self.outside);
            tokio::select! {
                () = self.take_in(to_server) => {}
                () = give_out(&outside, from_server) => {}
            }
        };
        (read, write, pumps)
    }

    async fn take_in(mut self, mut to_server: WriteHalf<DuplexStream>) {
        while let Some(mut message) = self.messages.recv().await {
            self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
            message.push(b'\n');
            if to_server.write_all(&message).await.is_err() {
                return;
            }
        }
    }
}

/// Gives every line of the server to the host.
async fn give_out(outside: &Outside, from_server: ReadHalf<DuplexStream>) {
    let mut lines = BufReader::with_capacity(PIPE_BYTES, from_server);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut lines).take(MAX_MESSAGE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(read) if read > 0) || line.pop() != Some(b'\n') {
            return;
        }
        loop {
            match outside.offer(&line) {
                TAKEN => break,
                FULL => tokio::time::sleep(OFFER_AGAIN).await,
                _ => return,
            }
        }
    }
}

impl Outside {
    pub(super) fn new(host: Host) -> Self {
        Self(Mutex::new(Some(Callbacks(host))))
    }

    /// Offers a message to the host.
    fn offer(&self, message: &[u8]) -> c_int {
        let callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*callbacks {
            // SAFETY: the callbacks are valid as long as they are here, and the message for the call.
            Some(Callbacks(host)) => unsafe {
                (host.on_message)(host.context, message.as_ptr(), message.len())
            },
            None => CLOSED,
        }
    }

    /// Tells the host that the server has ended by itself.
    pub(super) fn ended(&self) {
        let mut callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Callbacks(host)) = callbacks.take() {
            // SAFETY: as for a message.
            unsafe { (host.on_closed)(host.context) };
        }
    }

    /// Forgets the host: it is not called any more.
    pub(super) fn silence(&self) {
        let mut callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *callbacks = None;
    }
}

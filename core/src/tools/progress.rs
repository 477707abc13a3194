//! Output that arrives while a tool works, put back in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use tokio::sync::mpsc;

/// How many pieces may wait for the log before the notification handler waits too.
const QUEUED_PIECES: usize = 64;

/// One piece of output.
pub(crate) struct Piece {
    offset: Option<u64>,
    text: String,
}

/// How many calls nobody listens to yet, or no more, may have pieces waiting: a server that makes up
/// tokens cannot grow this.
const UNHEARD_CALLS: usize = 16;

/// How many bytes may wait for a piece that is missing: a server that leaves one out for ever cannot
/// grow this.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How many bytes may wait for a slow log before the server's output is no longer read: the SDK
/// handles every notification in a task of its own, so nothing else would make the server wait.
const MAX_UNDELIVERED_BYTES: usize = 4 * 1024 * 1024;

/// Routes progress notifications to the calls they belong to.
#[derive(Default)]
pub(crate) struct Router {
    routes: Mutex<Routes>,
    undelivered: AtomicUsize,
    reader: AtomicWaker,
}

/// Counts a piece until it is delivered, or dropped undelivered.
struct Undelivered<'a> {
    router: &'a Router,
    bytes: usize,
}

#[derive(Default)]
struct Routes {
    heard: HashMap<ProgressToken, mpsc::Sender<Piece>>,
    /// A notification may be handled before the caller knows its token.
    unheard: VecDeque<(ProgressToken, mpsc::Sender<Piece>, mpsc::Receiver<Piece>)>,
}

/// Pieces that came too early wait here.
#[derive(Default)]
pub(crate) struct Reorder {
    next: u64,
    waiting: BTreeMap<u64, String>,
    waiting_bytes: usize,
}

impl Router {
    /// The pieces of the call with this token, from the first on.
    pub(crate) fn listen(&self, token: &ProgressToken) -> mpsc::Receiver<Piece> {
        let mut routes = self.lock();
        let known = routes.unheard.iter().position(|(known, ..)| known == token);
        let early = known.and_then(|index| routes.unheard.remove(index));
        let (sender, receiver) = match early {
            Some((_, sender, receiver)) => (sender, receiver),
            None => mpsc::channel(QUEUED_PIECES),
        };
        routes.heard.insert(token.clone(), sender);
        receiver
    }

    /// Forgets a call that is answered.
    pub(crate) fn forget(&self, token: &ProgressToken) {
        self.lock().heard.remove(token);
    }

    /// Takes in a notification.
    pub(crate) async fn deliver(&self, params: ProgressNotificationParam, offset: Option<u64>) {
        let text = match offset {
            Some(_) => params.message.clone().unwrap_or_default(),
            None => line_of(&params),
        };
        let _undelivered = Undelivered::count(self, text.len());
        let sender = self.lock().sender(params.progress_token);
        // An error means that the call is answered and nobody listens any more.
        let _ = sender.send(Piece { offset, text }).await;
    }

    /// Waits until so little waits for a slow log that more may be taken from the server.
    pub(crate) async fn room(&self) {
        poll_fn(|cx| {
            self.reader.register(cx.waker());
            if self.undelivered.load(Ordering::SeqCst) > MAX_UNDELIVERED_BYTES {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Undelivered<'a> {
    fn count(router: &'a Router, bytes: usize) -> Self {
        router.undelivered.fetch_add(bytes, Ordering::SeqCst);
        Self { router, bytes }
    }
}

/// Progress of a server that streams no output, as a line for a person.
fn line_of(params: &ProgressNotificationParam) -> String {
    let (done, message) = (params.progress, params.message.as_deref());
    let count = params.total.map(|total| format!("{done}/{total}"));
    match (count, message.map(str::trim_end)) {
        (Some(count), Some(message)) => format!("{count} {message}\n"),
        (None, Some(message)) => format!("{message}\n"),
        (Some(count), None) => format!("{count}\n"),
        (None, None) => format!("{done}\n"),
    }
}

impl Drop for Undelivered<'_> {
    fn drop(&mut self) {
        self.router
            .undelivered
            .fetch_sub(self.bytes, Ordering::SeqCst);
        self.router.reader.wake();
    }
}

impl Routes {
    fn sender(&mut self, token: ProgressToken) -> mpsc::Sender<Piece> {
        let unheard = self.unheard.iter().find(|(known, ..)| *known == token);
        let known = self
            .heard
            .get(&token)
            .or(unheard.map(|(_, sender, _)| sender));
        if let Some(sender) = known {
            return sender.clone();
        }
        if self.unheard.len() == UNHEARD_CALLS {
            self.unheard.pop_front();
        }
        let (sender, receiver) = mpsc::channel(QUEUED_PIECES);
        self.unheard.push_back((token, sender.clone(), receiver));
        sender
    }
}

impl Reorder {
    /// The text that can be shown once `piece` is there. A server that says no offset is taken to
    /// send in order. A gap that stays open for too long is passed over; a piece that comes after
    /// that, or twice, is not shown.
    pub(crate) fn push(&mut self, piece: Piece) -> String {
        let Some(offset) = piece.offset else {
            return piece.text;
        };
        if offset < self.next || piece.text.is_empty() {
            return String::new();
        }
        self.waiting_bytes += piece.text.len();
        if let Some(same) = self.waiting.insert(offset, piece.text) {
            self.waiting_bytes -= same.len();
        }
        let mut ready = String::new();
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() > self.next && self.waiting_bytes <= MAX_WAITING_BYTES {
                break;
            }
            let (offset, text) = first.remove_entry();
            self.waiting_bytes -= text.len();
            if offset >= self.next {
                self.next = offset.saturating_add(text.len() as u64);
                ready.push_str(&text);
            }
        }
        ready
    }

    /// How many bytes are shown.
    pub(crate) fn shown(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, text: &str) -> Piece {
        Piece {
            offset: Some(offset),
            text: text.to_owned(),
        }
    }

    #[test]
    fn pieces_that_overtook_each_other_are_shown_in_order() {
        let mut order = Reorder::default();
        assert_eq!(order.push(piece(3, "def")), "");
        assert_eq!(order.push(piece(6, "g")), "");
        assert_eq!(order.push(piece(0, "abc")), "abcdefg");
        assert_eq!(order.shown(), 7);
    }

    #[tokio::test]
    async fn a_server_waits_while_its_output_is_not_taken_away() {
        let router = Router::default();
        let undelivered = Undelivered::count(&router, MAX_UNDELIVERED_BYTES + 1);
        let room = router.room();
        tokio::pin!(room);
        assert!(futures_util::poll!(&mut room).is_pending());
        drop(undelivered);
        room.await;
    }

    #[tokio::test]
    async fn progress_of_a_foreign_server_is_a_line() {
        let token = ProgressToken(rmcp::model::NumberOrString::Number(1));
        let params = |progress, total, message: Option<&str>| {
            let mut params = ProgressNotificationParam::new(token.clone(), progress);
            params.total = total;
            params.message = message.map(str::to_owned);
            params
        };
        assert_eq!(
            line_of(&params(3.0, Some(10.0), Some("half"))),
            "3/10 half\n"
        );
        assert_eq!(
            line_of(&params(0.5, None, Some("going on\n"))),
            "going on\n"
        );
        assert_eq!(line_of(&params(2.0, Some(4.0), None)), "2/4\n");
        assert_eq!(line_of(&params(7.0, None, None)), "7\n");
    }

    #[test]
    fn a_piece_that_never_comes_does_not_fill_the_memory() {
        let mut order = Reorder::default();
        let text = "x".repeat(MAX_WAITING_BYTES);
        assert_eq!(order.push(piece(1, &text)), "");
        let after = 1 + text.len() as u64;
        assert_eq!(order.push(piece(after, "yz")).len(), text.len() + 2);
        assert_eq!(order.shown(), after + 2);
        assert_eq!(order.push(piece(0, "late")), "");
        assert_eq!((order.waiting.len(), order.waiting_bytes), (0, 0));
    }
}

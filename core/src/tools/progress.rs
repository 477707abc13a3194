//! Output that arrives while a tool works, put back in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Routes progress notifications to the calls they belong to.
#[derive(Default)]
pub(crate) struct Router {
    routes: Mutex<Routes>,
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
        let Some(text) = params.message else { return };
        let sender = self.lock().sender(params.progress_token);
        // An error means that the call is answered and nobody listens any more.
        let _ = sender.send(Piece { offset, text }).await;
    }

    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// send in order.
    pub(crate) fn push(&mut self, piece: Piece) -> String {
        let Some(offset) = piece.offset else {
            return piece.text;
        };
        self.waiting.insert(offset, piece.text);
        let mut ready = String::new();
        while let Some(text) = self.waiting.remove(&self.next) {
            self.next += text.len() as u64;
            ready.push_str(&text);
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
}

//! The queue of a server, and the seats that runs hold in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pullwright_protocol::RunId;
use tokio::sync::watch;

use super::queue::{Places, Queue, Ticket};

/// The queue of a server.
#[derive(Debug)]
pub(super) struct Line {
    queue: Mutex<Queue>,
    /// How many runs may wait.
    max_waiting: usize,
    changed: watch::Sender<()>,
}

/// A run's seat in the queue: it waits or has a place, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    line: Arc<Line>,
    run: RunId,
}

/// There is no seat left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How many runs are under way.
    pub(super) placed: usize,
    /// How many wait.
    pub(super) waiting: usize,
}

impl Line {
    pub(super) fn new(places: Places, max_waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue::new(places)),
            max_waiting,
            changed: watch::Sender::default(),
        })
    }

    /// A seat for a new run.
    pub(super) fn admit(self: &Arc<Self>, ticket: Ticket) -> Result<Seat, Full> {
        let run = ticket.run.clone();
        let must_wait = self.change(|queue| {
            queue.join(ticket);
            let others = Full {
                placed: queue.placed(),
                waiting: queue.waiting().saturating_sub(1),
            };
            (!queue.has_place(&run)).then_some(others)
        });
        // Without a seat the run is out of the queue again.
        let seat = self.seat(run);
        match must_wait {
            Some(others) if others.waiting >= self.max_waiting => Err(others),
            _ => Ok(seat),
        }
    }

    /// A seat for a run that was accepted before: it is never refused.
    pub(super) fn readmit(self: &Arc<Self>, ticket: Ticket) -> Seat {
        let run = ticket.run.clone();
        self.change(|queue| queue.rejoin(ticket));
        self.seat(run)
    }

    /// Whether a run has a seat.
    pub(super) fn holds(&self, run: &RunId) -> bool {
        let queue = self.queue();
        queue.has_place(run) || queue.position(run).is_some()
    }

    fn seat(self: &Arc<Self>, run: RunId) -> Seat {
        let line = Arc::clone(self);
        Seat { line, run }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let answer = change(&mut self.queue());
        self.changed.send_replace(());
        answer
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    pub(super) fn has_place(&self) -> bool {
        self.line.queue().has_place(&self.run)
    }

    /// Its place in the order of those that wait, from 1.
    pub(super) fn position(&self) -> Option<usize> {
        self.line.queue().position(&self.run)
    }

    /// Fires whenever the queue has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.line.changed.subscribe()
    }

    /// Waits for a place.
    pub(super) async fn place(&self) {
        let mut changes = self.changes();
        // The line cannot go away: the seat holds it.
        while !self.has_place() && changes.changed().await.is_ok() {}
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.line.change(|queue| queue.leave(&self.run));
    }
}

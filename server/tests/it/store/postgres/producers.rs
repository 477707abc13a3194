//! Runs that are written to while something happens to the database.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::store::contract::{self, Store};
use crate::support::{in_time, status};

const PRODUCERS: u64 = 8;

/// The events of each producer; the more, the longer the database has to die in.
const EVENTS: u64 = 400;

/// Runs that grow until they have all their events.
pub(super) struct Producers {
    tasks: JoinSet<()>,
    committed: Arc<watch::Sender<u64>>,
}

impl Producers {
    pub(super) fn start(store: &Store) -> Self {
        let committed = Arc::new(watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        for producer in 0..PRODUCERS {
            let (store, committed) = (Arc::clone(store), Arc::clone(&committed));
            tasks.spawn(async move { produce(&store, producer, &committed).await });
        }
        Self { tasks, committed }
    }

    pub(super) fn are_at_work(&self) -> bool {
        *self.committed.borrow() < PRODUCERS * EVENTS
    }

    pub(super) async fn grow_by(&self, events: u64) {
        let aim = (*self.committed.borrow() + events).min(PRODUCERS * EVENTS);
        let mut committed = self.committed.subscribe();
        let grown = committed.wait_for(|committed| *committed >= aim);
        in_time(grown).await.expect("producers");
    }

    pub(super) async fn check(self, store: &Store) {
        in_time(self.tasks.join_all()).await;
        for producer in 0..PRODUCERS {
            let run = crate::support::id(&format!("run-{producer}"));
            let events = contract::all(store, &run).await;
            let seen = events
                .iter()
                .map(|logged| (logged.seq, contract::message(logged)));
            let expected = (1..=EVENTS).map(|seq| (seq, format!("{producer}: {seq}")));
            assert!(seen.eq(expected), "run {run}");
        }
    }
}

async fn produce(store: &Store, producer: u64, committed: &watch::Sender<u64>) {
    let (run, epoch) = contract::owned(store, &format!("run-{producer}")).await;
    for seq in 1..=EVENTS {
        let event = status(seq, format!("{producer}: {seq}"));
        let append = store.append(&run, epoch, vec![event]);
        append.await.expect("append");
        committed.send_modify(|committed| *committed += 1);
    }
}

//! Runs that are put aside for a while.

use std::time::Duration;

use pullwright_core::store::RunRecord;
use pullwright_protocol::RunId;

use super::contract::{LEASE, Store, is_fenced, owned};
use crate::support::status;

const SHORT: Duration = Duration::from_millis(300);

pub(super) async fn a_run_put_aside_is_nobody_s(store: Store) {
    let (run, owner) = owned(&store, "a").await;
    assert_eq!(record(&store, &run).await.parked_until_ms, None);
    store.park(&run, owner, LEASE).await.expect("park");
    let until = record(&store, &run).await.parked_until_ms;
    assert!(until.is_some());
    let listed = store.list(10).await.expect("a list");
    assert_eq!(listed[0].parked_until_ms, until);
    is_fenced(store.claim(&run, "two", LEASE).await);
    assert!(store.orphans().await.expect("orphans").is_empty());
    // A heartbeat that was on its way has come too late.
    let late = store.heartbeat(&run, owner, SHORT);
    late.await.expect("a heartbeat");
    assert_eq!(record(&store, &run).await.parked_until_ms, until);
}

pub(super) async fn a_run_put_aside_is_claimed_in_its_time(store: Store) {
    let (run, first) = owned(&store, "a").await;
    store.park(&run, first, SHORT).await.expect("park");
    while store.orphans().await.expect("orphans").is_empty() {
        tokio::time::sleep(SHORT / 10).await;
    }
    let second = store.claim(&run, "two", LEASE).await.expect("claim");
    let claimed = record(&store, &run).await;
    assert_eq!((claimed.parked_until_ms, claimed.stalled_claims), (None, 0));
    is_fenced(store.park(&run, first, LEASE).await);
    let append = store.append(&run, second, vec![status(1, "one")]);
    append.await.expect("append");
}

pub(super) async fn one_that_is_to_end_is_claimed_at_once(store: Store) {
    for is_cancelled_before in [true, false] {
        let name = if is_cancelled_before {
            "before"
        } else {
            "after"
        };
        let (run, epoch) = owned(&store, name).await;
        if is_cancelled_before {
            store.cancel(&run).await.expect("cancel");
        }
        store.park(&run, epoch, LEASE).await.expect("park");
        if !is_cancelled_before {
            assert!(store.orphans().await.expect("orphans").is_empty());
            store.cancel(&run).await.expect("cancel");
        }
        assert_eq!(record(&store, &run).await.parked_until_ms, None);
        let orphans = store.orphans().await.expect("orphans");
        assert_eq!(orphans, std::slice::from_ref(&run), "{name}");
        store.claim(&run, "two", LEASE).await.expect("claim");
    }
}

async fn record(store: &Store, run: &RunId) -> RunRecord {
    store.get(run).await.expect("get").expect("a record")
}

//! What every store must do with the sealed tokens of callers.

use std::time::Duration;

use pullwright_core::store::StoreError;
use pullwright_protocol::{Outcome, RunId};

use super::contract::{LEASE, Store, owned};
use crate::support::{done, id, status};

const SEALED: &[u8] = b"\x01\x00sealed";

async fn token(store: &Store, run: &RunId) -> Option<Vec<u8>> {
    store.token(run).await.expect("a token")
}

pub(super) async fn are_kept_until_the_run_ends(store: Store) {
    let (run, epoch) = owned(&store, "run").await;
    let (other, _) = owned(&store, "other").await;
    assert_eq!(token(&store, &run).await, None);
    let put = store.put_token(&run, epoch, SEALED).await;
    put.expect("put");
    let again = store.put_token(&run, epoch, SEALED).await;
    again.expect("the same once more");
    store
        .append(&run, epoch, vec![status(1, "at work")])
        .await
        .expect("append");
    assert_eq!(token(&store, &run).await.as_deref(), Some(SEALED));
    assert_eq!(token(&store, &other).await, None);
    assert_eq!(token(&store, &id("nobody")).await, None);

    let let_go = store.heartbeat(&run, epoch, Duration::ZERO).await;
    let_go.expect("let go");
    let next = store.claim(&run, "next", LEASE).await.expect("claim");
    assert_eq!(token(&store, &run).await.as_deref(), Some(SEALED));
    let fenced = store.put_token(&run, epoch, b"stolen").await;
    assert!(matches!(fenced, Err(StoreError::Fenced(_))), "{fenced:?}");
    let outcome = Outcome::NoChanges;
    let ended = store.finish(&run, next, outcome, done(2, outcome)).await;
    ended.expect("finish");
    assert_eq!(token(&store, &run).await, None);
    let late = store.put_token(&run, next, SEALED).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
}

//! What every store must do with the sealed tokens of callers.

use std::time::Duration;

use pullwright_core::store::{Created, NewRun};
use pullwright_protocol::{Outcome, RunId};

use super::contract::{LEASE, Store, new, owned};
use crate::support::{done, id, status};

const SEALED: &[u8] = b"\x01\x00sealed";

async fn token(store: &Store, run: &RunId) -> Option<Vec<u8>> {
    store.token(run).await.expect("a token")
}

pub(super) async fn are_kept_until_the_run_ends(store: Store) {
    let new = NewRun {
        sealed_token: Some(SEALED.to_vec()),
        ..new("run", "prompt", None)
    };
    let run = new.id.clone();
    assert_eq!(store.create(new).await.expect("create"), Created::New);
    // Whoever made the run may die before it takes it.
    assert_eq!(token(&store, &run).await.as_deref(), Some(SEALED));
    let epoch = store.claim(&run, "first", LEASE).await.expect("claim");
    let (other, _) = owned(&store, "other").await;
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
    let outcome = Outcome::NoChanges;
    let ended = store.finish(&run, next, outcome, done(2, outcome)).await;
    ended.expect("finish");
    assert_eq!(token(&store, &run).await, None);
}

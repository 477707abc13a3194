//! Commits whose answers are lost: each takes place, is found again, and is done once.

use std::time::Duration;

use pullwright_core::store::{Created, NewRun, StoreError};
use pullwright_protocol::Outcome;

use super::cutting_proxy::CuttingProxy;
use super::open;
use super::producers::Producers;
use super::server::{self, Server};
use crate::store::contract::{self, LEASE, Store};
use crate::support::{done, id, in_time, request, status};

/// A silent database is taken for gone after 15 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_is_done_once() {
    let Some((proxy, store)) = behind_a_proxy("commits whose answers are lost").await else {
        return;
    };
    let new = |run: &str| NewRun {
        id: id(run),
        request: request("do it"),
        owner: None,
        idempotency_key: Some("key".to_owned()),
        at_ms: 1000,
        sealed_token: None,
    };
    let run = id("a");
    proxy.cut(1);
    let created = in_time(store.create(new("a"))).await.expect("create");
    assert_eq!((created, proxy.has_cut()), (Created::New, true));
    let again = store.create(new("b")).await.expect("create");
    assert_eq!(again, Created::Joined(run.clone()));

    proxy.cut(2);
    let epoch = in_time(store.claim(&run, "me", LEASE))
        .await
        .expect("claim");
    assert_eq!((epoch.0, proxy.has_cut()), (1, true));
    let fenced = store.claim(&run, "other", LEASE).await;
    assert!(matches!(fenced, Err(StoreError::Fenced(_))), "{fenced:?}");

    proxy.cut(3);
    let events = vec![status(1, "one"), status(2, "two")];
    let append = store.append(&run, epoch, events.clone());
    in_time(append).await.expect("append");
    assert!(proxy.has_cut());
    proxy.cut(1);
    let put = store.put_patch(&run, epoch, b"patch");
    in_time(put).await.expect("put");
    proxy.cut(1);
    let heartbeat = store.heartbeat(&run, epoch, LEASE);
    in_time(heartbeat).await.expect("heartbeat");
    proxy.cut(1);
    assert!(in_time(store.cancel(&run)).await.expect("cancel"));
    proxy.cut(1);
    let outcome = Outcome::PatchOnly;
    let end = done(3, outcome);
    let finish = store.finish(&run, epoch, outcome, end.clone());
    in_time(finish).await.expect("finish");
    assert!(proxy.has_cut());

    let seen = contract::all(&store, &run).await;
    assert_eq!((&seen[..2], &seen[2], seen.len()), (&events[..], &end, 3));
    let patch = store.patch(&run).await.expect("patch");
    assert_eq!(patch, Some(b"patch".to_vec()));
    let record = store.get(&run).await.expect("get").expect("a record");
    assert_eq!((record.outcome, record.last_seq), (Some(outcome), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_done_once() {
    let Some((proxy, store)) = behind_a_proxy("groups whose answers are lost").await else {
        return;
    };
    let produced = Producers::start(&store);
    while produced.are_at_work() {
        proxy.cut(1);
        produced.grow_by(100).await;
    }
    assert!(proxy.has_cut());
    produced.check(&store).await;
}

/// Its database keeps the rows that it locked for no longer than it takes to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_is_given_up() {
    let Some((proxy, store)) = behind_a_proxy("a connection that falls silent").await else {
        return;
    };
    let (run, epoch) = contract::owned(&store, "a").await;
    proxy.fall_silent();
    let append = store.append(&run, epoch, vec![status(1, "x")]);
    let appended = tokio::time::timeout(SILENCE_LIMIT, append).await;
    appended.expect("an answer").expect("append");
    assert_eq!(contract::all(&store, &run).await.len(), 1);
}

async fn behind_a_proxy(what: &str) -> Option<(CuttingProxy, Store)> {
    let server = Server::shared(what)?;
    let database = server.database().await;
    let proxy = CuttingProxy::start(server.folder());
    let url = server::url(proxy.folder(), server::database_of(&database));
    let store = open(&url).await;
    Some((proxy, store))
}

//! Large patches, which go in parts.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::{Outcome, RunId};
use tokio::time::Instant;

use super::server::{self, Server};
use super::slow_proxy::SlowProxy;
use super::{open, sql};
use crate::store::contract::{self, LEASE, Store};
use crate::store::retention::{retirement, tomorrow};
use crate::support::{done, id, in_time};

const BYTES_PER_SECOND: u32 = 1 << 20;
const PATCH_BYTES: usize = 4 << 20;

/// One that no compression makes small, from this seed.
fn patch(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..PATCH_BYTES).map(|_| byte()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_patch_on_a_slow_line_holds_up_no_lease() {
    let Some(server) = Server::shared("large patches on a slow line") else {
        return;
    };
    let database = server.database().await;
    let proxy = SlowProxy::start(server.folder(), BYTES_PER_SECOND);
    let url = server::url(proxy.folder(), server::database_of(&database));
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    let (other, other_epoch) = contract::owned(&store, "b").await;
    let begun = Instant::now();
    let putting = tokio::spawn({
        let (store, run) = (Arc::clone(&store), run.clone());
        async move { store.put_patch(&run, epoch, &patch(1)).await }
    });
    let (mut longest, mut beats) = (Duration::ZERO, 0);
    while !putting.is_finished() {
        for (run, epoch) in [(&run, epoch), (&other, other_epoch)] {
            let beaten = Instant::now();
            in_time(store.heartbeat(run, epoch, LEASE))
                .await
                .expect("heartbeat");
            longest = longest.max(beaten.elapsed());
            beats += 1;
        }
    }
    let took = begun.elapsed();
    in_time(putting).await.expect("the task").expect("put");
    assert!(took > Duration::from_secs(3), "the line was slow: {took:?}");
    assert!(
        longest * 4 < took,
        "a lease waited {longest:?} of {took:?}, {beats} beats"
    );
    let read = open(&database).await.patch(&run).await.expect("read");
    assert!(read == Some(patch(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_part_of_a_patch_outlives_it() {
    let Some(server) = Server::shared("the parts of large patches") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    put(&store, &run, epoch, &patch(1)).await.expect("put");
    let parts = parts(&url).await;
    assert!(parts > 1, "{parts}");
    put(&store, &run, epoch, &patch(2)).await.expect("put");
    assert_eq!(self::parts(&url).await, parts);
    assert!(store.patch(&run).await.expect("read") == Some(patch(2)));
    put(&store, &run, epoch, b"small").await.expect("put");
    assert_eq!(self::parts(&url).await, 0);
    assert_eq!(
        store.patch(&run).await.expect("read"),
        Some(b"small".to_vec())
    );
    put(&store, &run, epoch, &patch(3)).await.expect("put");
    let outcome = Outcome::PatchOnly;
    let finish = store.finish(&run, epoch, outcome, done(1, outcome));
    finish.await.expect("finish");
    let passed = retirement(&store, None).pass(tomorrow()).await;
    assert_eq!(passed.expect("a pass").retired, 1);
    assert_eq!(self::parts(&url).await, 0);
    assert_eq!(store.patch(&run).await.expect("read"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_patch_of_an_earlier_owner_is_refused() {
    let Some(server) = Server::shared("large patches of earlier owners") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let run = contract::create(&store, "a").await;
    let first = store.claim(&run, "one", Duration::ZERO).await;
    let first = first.expect("claim");
    let second = store.claim(&run, "two", LEASE).await.expect("claim");
    put(&store, &run, second, b"second").await.expect("put");
    let late = put(&store, &run, first, &patch(1)).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    let nobody_s = put(&store, &id("none"), second, &patch(1)).await;
    assert!(
        matches!(nobody_s, Err(StoreError::UnknownRun(_))),
        "{nobody_s:?}"
    );
    assert_eq!(
        store.patch(&run).await.expect("read"),
        Some(b"second".to_vec())
    );
    assert_eq!(parts(&url).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_broke_off_leaves_nothing_behind() {
    let Some(server) = Server::shared("large patches that broke off") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    put(&store, &run, epoch, &patch(1)).await.expect("put");
    let stored = parts(&url).await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'not this part'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON patch_parts FOR EACH ROW WHEN (NEW.part = 3)
            EXECUTE FUNCTION refuse()";
    sql::run(&url, refuse).await;
    let broken = put(&store, &run, epoch, &patch(2)).await;
    let error = broken.expect_err("a part is refused").to_string();
    assert!(error.contains("storing a patch"), "{error}");
    assert_eq!(parts(&url).await, stored);
    assert!(store.patch(&run).await.expect("read") == Some(patch(1)));
}

/// Whoever uploaded it may have died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_an_upload_goes_when_its_run_ends() {
    let Some(server) = Server::shared("what is left of large patches") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (large, large_epoch) = contract::owned(&store, "large").await;
    let (none, none_epoch) = contract::owned(&store, "none").await;
    put(&store, &large, large_epoch, &patch(1))
        .await
        .expect("put");
    let stored = parts(&url).await;
    for run in [&large, &none] {
        let left = format!("INSERT INTO patch_parts VALUES ('{run}', 'broken off', 0, 'x')");
        sql::run(&url, &left).await;
    }
    for (run, epoch) in [(&large, large_epoch), (&none, none_epoch)] {
        let outcome = Outcome::PatchOnly;
        let finish = store.finish(run, epoch, outcome, done(1, outcome));
        finish.await.expect("finish");
    }
    assert_eq!(parts(&url).await, stored);
    assert!(store.patch(&large).await.expect("read") == Some(patch(1)));
    assert_eq!(store.patch(&none).await.expect("read"), None);
}

async fn put(store: &Store, run: &RunId, epoch: Epoch, patch: &[u8]) -> Result<(), StoreError> {
    in_time(store.put_patch(run, epoch, patch)).await
}

/// How many parts there are in the database.
async fn parts(url: &str) -> i64 {
    sql::numbers(url, "SELECT count(*) FROM patch_parts").await[0]
}

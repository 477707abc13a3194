//! What every [`RunStore`] must do. A new store calls [`keeps`] with a way to make one.

use std::sync::Arc;
use std::time::Duration;

use pullwright::store::KeptStore;
use pullwright_core::store::{Created, Epoch, NewRun, StoreError};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};

use super::{follow, messages, owners, paging, parking, retention, tokens};
use crate::support::{done, id, in_time, request, status};

pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) type Store = Arc<dyn KeptStore>;

/// Runs the whole contract, each part on a fresh store.
pub(super) async fn keeps<F: AsyncFn() -> Store>(fresh: F) {
    a_new_run_is_found(fresh().await).await;
    a_key_joins_its_run(fresh().await).await;
    owners::a_key_is_its_owner_s(fresh().await).await;
    owners::an_owner_s_runs_are_listed(fresh().await).await;
    paging::pages_hold_each_run_once(fresh().await).await;
    paging::lists_are_filtered(fresh().await).await;
    only_the_owner_writes(fresh().await).await;
    numbers_have_no_gap(fresh().await).await;
    what_is_repeated_is_done_once(fresh().await).await;
    pages_are_read_in_order(fresh().await).await;
    large_events_come_in_small_pages(fresh().await).await;
    a_watcher_hears_of_commits(fresh().await).await;
    the_end_is_final(fresh().await).await;
    an_expired_lease_is_claimed(fresh().await).await;
    a_heartbeat_keeps_the_lease(fresh().await).await;
    a_run_let_go_of_is_claimed_at_once(fresh().await).await;
    claims_without_progress_are_counted(fresh().await).await;
    a_run_let_go_of_has_not_stalled(fresh().await).await;
    parking::a_run_put_aside_is_nobody_s(fresh().await).await;
    parking::a_run_put_aside_is_claimed_in_its_time(fresh().await).await;
    parking::one_that_is_to_end_is_claimed_at_once(fresh().await).await;
    a_patch_is_replaced(fresh().await).await;
    cancelling_is_noted(fresh().await).await;
    messages::are_left_once_and_for_their_run(fresh().await).await;
    messages::are_taken_while_a_run_is_under_way(fresh().await).await;
    tokens::are_kept_until_the_run_ends(fresh().await).await;
    follow::a_run_is_followed_by_one(fresh().await).await;
    follow::a_key_joins_the_run_that_follows(fresh().await).await;
    follow::a_message_is_found_by_its_name(fresh().await).await;
    follow::what_is_followed_stays_until_that_is_over(fresh().await).await;
    follow::what_is_followed_stays_along_the_line(fresh().await).await;
    unknown_runs_are_refused(fresh().await).await;
    many_producers_lose_nothing(fresh().await).await;
    retention::ended_runs_leave_in_steps(fresh().await).await;
    retention::runs_are_due_in_the_order_of_their_ends(fresh().await).await;
    retention::a_pass_archives_and_removes(fresh().await).await;
    retention::without_an_archive_they_are_gone(fresh().await).await;
}

/// What a store must still know after its server has ended. `open` opens the same store again.
pub(super) async fn survives_reopening<F: AsyncFn() -> Store>(open: F) {
    let before = open().await;
    let (run, epoch) = owned(&before, "a").await;
    let outcome = Outcome::PatchOnly;
    let events = vec![status(1, "one"), status(2, "two")];
    before
        .append(&run, epoch, events.clone())
        .await
        .expect("append");
    before.put_patch(&run, epoch, b"patch").await.expect("put");
    before
        .finish(&run, epoch, outcome, done(3, outcome))
        .await
        .expect("finish");
    drop(before);
    let after = open().await;
    let record = after.get(&run).await.expect("get").expect("a record");
    assert_eq!((record.outcome, record.last_seq), (Some(outcome), 3));
    assert_eq!(record.request, request("do it"));
    assert_eq!(all(&after, &run).await[..2], events);
    assert_eq!(
        after.patch(&run).await.expect("patch"),
        Some(b"patch".to_vec())
    );
}

pub(super) async fn create(store: &Store, run: &str) -> RunId {
    let created = store.create(new(run, "do it", None)).await;
    assert_eq!(created.expect("create"), Created::New);
    id(run)
}

pub(super) async fn owned(store: &Store, run: &str) -> (RunId, Epoch) {
    let run = create(store, run).await;
    let epoch = store.claim(&run, "worker", LEASE).await.expect("claim");
    (run, epoch)
}

pub(super) async fn all(store: &Store, run: &RunId) -> Vec<LoggedEvent> {
    let mut events: Vec<LoggedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page = store.read(run, after, 100).await.expect("read");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

pub(super) fn new(run: &str, prompt: &str, key: Option<&str>) -> NewRun {
    NewRun {
        id: id(run),
        request: request(prompt),
        owner: None,
        idempotency_key: key.map(str::to_owned),
        at_ms: 1000,
        sealed_token: None,
    }
}

pub(super) fn is_fenced<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Fenced(_))), "{result:?}");
}

async fn a_new_run_is_found(store: Store) {
    let run = create(&store, "a").await;
    create(&store, "b").await;
    let record = store.get(&run).await.expect("get").expect("a record");
    assert_eq!(record.request, request("do it"));
    assert_eq!((record.created_at_ms, record.last_seq), (1000, 0));
    assert_eq!((record.outcome, record.finished_at_ms), (None, None));
    assert!(!record.cancel_requested);
    let listed = store.list(10).await.expect("list");
    let ids: Vec<_> = listed.into_iter().map(|record| record.id.0).collect();
    assert_eq!(ids, ["b", "a"], "newest first");
    assert_eq!(store.list(1).await.expect("list").len(), 1);
}

async fn a_key_joins_its_run(store: Store) {
    let first = store.create(new("a", "do it", Some("key"))).await;
    assert_eq!(first.expect("create"), Created::New);
    let again = store.create(new("b", "do it", Some("key"))).await;
    assert_eq!(again.expect("create"), Created::Joined(id("a")));
    let other = store.create(new("c", "do else", Some("key"))).await;
    assert_eq!(other.expect("create"), Created::KeyReused);
    assert_eq!(store.list(10).await.expect("list").len(), 1);
}

async fn only_the_owner_writes(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let wrong = Epoch(epoch.0 + 1);
    is_fenced(store.append(&run, wrong, vec![status(1, "x")]).await);
    is_fenced(store.heartbeat(&run, wrong, LEASE).await);
    is_fenced(store.put_patch(&run, wrong, b"x").await);
    let end = store.finish(&run, wrong, Outcome::NoChanges, done(1, Outcome::NoChanges));
    is_fenced(end.await);
    is_fenced(store.claim(&run, "other", LEASE).await);
    assert!(all(&store, &run).await.is_empty());
}

async fn numbers_have_no_gap(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    for wrong in [
        vec![status(2, "x")],
        vec![status(0, "x")],
        vec![status(1, "x"), status(3, "y")],
    ] {
        let refused = store.append(&run, epoch, wrong).await;
        assert!(
            matches!(refused, Err(StoreError::Database { .. })),
            "{refused:?}"
        );
    }
    assert!(
        all(&store, &run).await.is_empty(),
        "a refused batch leaves nothing"
    );
    store
        .append(&run, epoch, vec![status(1, "x"), status(2, "y")])
        .await
        .expect("append");
    let again = store.append(&run, epoch, vec![status(2, "z")]).await;
    assert!(again.is_err(), "a number is given once");
    let record = store.get(&run).await.expect("get").expect("a record");
    assert_eq!(record.last_seq, 2);
}

async fn what_is_repeated_is_done_once(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let events = vec![status(1, "x"), status(2, "y")];
    for _ in 0..2 {
        let append = store.append(&run, epoch, events.clone());
        append.await.expect("append");
    }
    let both_at_once = tokio::join!(
        store.append(&run, epoch, vec![status(3, "z")]),
        store.append(&run, epoch, events.clone()),
    );
    both_at_once.0.expect("a new one");
    both_at_once.1.expect("an old one");
    let longer = vec![events[1].clone(), status(3, "other")];
    assert!(store.append(&run, epoch, longer).await.is_err());
    let outcome = Outcome::NoChanges;
    let end = done(4, outcome);
    for _ in 0..2 {
        let finish = store.finish(&run, epoch, outcome, end.clone());
        finish.await.expect("finish");
    }
    let append = store.append(&run, epoch, events.clone());
    append.await.expect("it is in the log of an ended run, too");
    let other = Outcome::Cancelled;
    is_fenced(store.finish(&run, epoch, other, end.clone()).await);
    is_fenced(store.append(&run, Epoch(epoch.0 + 1), events.clone()).await);
    let seen = all(&store, &run).await;
    assert_eq!(seen[..2], events);
    assert_eq!((seen.len(), &seen[3]), (4, &end));
}

async fn pages_are_read_in_order(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let events: Vec<_> = (1..=300).map(|n| status(n, format!("{n} \"é\n"))).collect();
    store
        .append(&run, epoch, events.clone())
        .await
        .expect("append");
    assert_eq!(store.read(&run, 0, 7).await.expect("read"), events[..7]);
    assert_eq!(
        store.read(&run, 290, 100).await.expect("read"),
        events[290..]
    );
    assert!(store.read(&run, 300, 100).await.expect("read").is_empty());
    assert!(
        store
            .read(&run, u64::MAX >> 1, 100)
            .await
            .expect("read")
            .is_empty()
    );
    assert_eq!(all(&store, &run).await, events);
}

async fn large_events_come_in_small_pages(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let events: Vec<_> = (1..=8).map(|n| status(n, "x".repeat(400 << 10))).collect();
    store.append(&run, epoch, events).await.expect("append");
    let page = store.read(&run, 0, 100).await.expect("read");
    assert_eq!(page.len(), 3, "a page ends after 1 MiB");
    assert_eq!(all(&store, &run).await.len(), 8);
}

async fn a_watcher_hears_of_commits(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let mut hint = store.watch(&run);
    let mut second = store.watch(&run);
    store
        .append(&run, epoch, vec![status(1, "x")])
        .await
        .expect("append");
    in_time(hint.wait_for(|seq| *seq >= 1)).await.expect("hint");
    in_time(second.wait_for(|seq| *seq >= 1))
        .await
        .expect("hint");
    assert_eq!(store.read(&run, 0, 10).await.expect("read").len(), 1);
}

async fn the_end_is_final(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    let outcome = Outcome::BranchOnly;
    let gap = store.finish(&run, epoch, outcome, done(5, outcome)).await;
    assert!(gap.is_err());
    let record = store.get(&run).await.expect("get").expect("a record");
    assert_eq!(record.outcome, None, "a refused end changes nothing");
    store
        .finish(&run, epoch, outcome, done(1, outcome))
        .await
        .expect("finish");
    let record = store.get(&run).await.expect("get").expect("a record");
    assert_eq!((record.outcome, record.last_seq), (Some(outcome), 1));
    assert!(record.finished_at_ms.is_some());
    is_fenced(store.append(&run, epoch, vec![status(2, "x")]).await);
    is_fenced(store.finish(&run, epoch, outcome, done(2, outcome)).await);
    is_fenced(store.claim(&run, "other", LEASE).await);
    is_fenced(store.put_patch(&run, epoch, b"x").await);
    assert!(!store.cancel(&run).await.expect("cancel"));
    assert!(store.orphans().await.expect("orphans").is_empty());
    assert_eq!(all(&store, &run).await.len(), 1);
}

async fn an_expired_lease_is_claimed(store: Store) {
    let run = create(&store, "a").await;
    // Whoever created it is about to claim it.
    assert!(store.orphans().await.expect("orphans").is_empty());
    let first = store
        .claim(&run, "one", Duration::ZERO)
        .await
        .expect("claim");
    store
        .append(&run, first, vec![status(1, "one")])
        .await
        .expect("append");
    assert_eq!(
        store.orphans().await.expect("orphans"),
        std::slice::from_ref(&run)
    );
    let second = store.claim(&run, "two", LEASE).await.expect("claim");
    assert!(second > first);
    is_fenced(store.append(&run, first, vec![status(2, "one")]).await);
    store
        .append(&run, second, vec![status(2, "two")])
        .await
        .expect("append");
    assert!(store.orphans().await.expect("orphans").is_empty());
}

async fn a_heartbeat_keeps_the_lease(store: Store) {
    let run = create(&store, "a").await;
    let epoch = store
        .claim(&run, "one", Duration::ZERO)
        .await
        .expect("claim");
    store
        .heartbeat(&run, epoch, LEASE)
        .await
        .expect("heartbeat");
    assert!(store.orphans().await.expect("orphans").is_empty());
    is_fenced(store.claim(&run, "two", LEASE).await);
}

async fn a_run_let_go_of_is_claimed_at_once(store: Store) {
    let (run, first) = owned(&store, "a").await;
    let append = store.append(&run, first, vec![status(1, "one")]);
    append.await.expect("append");
    is_fenced(store.claim(&run, "two", LEASE).await);
    let let_go = store.heartbeat(&run, first, Duration::ZERO);
    let_go.await.expect("let go");
    assert_eq!(
        store.orphans().await.expect("orphans"),
        std::slice::from_ref(&run)
    );
    let second = store.claim(&run, "two", LEASE).await.expect("claim");
    assert!(second > first);
    is_fenced(store.append(&run, first, vec![status(2, "one")]).await);
    is_fenced(store.heartbeat(&run, first, Duration::ZERO).await);
    let append = store.append(&run, second, vec![status(2, "two")]);
    append.await.expect("append");
}

async fn claims_without_progress_are_counted(store: Store) {
    let run = create(&store, "a").await;
    let claim = async || {
        let claimed = store.claim(&run, "mortal", Duration::ZERO).await;
        claimed.expect("claim")
    };
    let (mut epoch, mut last) = (claim().await, 0);
    assert_eq!(stalled_claims(&store, &run).await, 0, "it had no owner");
    // How many events an owner writes before it dies, and what the next claim counts.
    for (written, counted) in [(0, 1), (1, 2), (2, 3), (3, 0), (1, 1), (100, 0), (0, 1)] {
        let events: Vec<_> = (last + 1..=last + written)
            .map(|n| status(n, "x"))
            .collect();
        store.append(&run, epoch, events).await.expect("append");
        last += written;
        epoch = claim().await;
        assert_eq!(stalled_claims(&store, &run).await, counted, "{written}");
    }
}

async fn a_run_let_go_of_has_not_stalled(store: Store) {
    let run = create(&store, "a").await;
    for _ in 0..5 {
        let epoch = store.claim(&run, "one", LEASE).await.expect("claim");
        assert_eq!(stalled_claims(&store, &run).await, 0);
        let let_go = store.heartbeat(&run, epoch, Duration::ZERO);
        let_go.await.expect("let go");
    }
}

async fn stalled_claims(store: &Store, run: &RunId) -> u64 {
    let record = store.get(run).await.expect("get");
    record.expect("a record").stalled_claims
}

async fn a_patch_is_replaced(store: Store) {
    let (run, epoch) = owned(&store, "a").await;
    assert_eq!(store.patch(&run).await.expect("patch"), None);
    store.put_patch(&run, epoch, b"one").await.expect("put");
    store
        .put_patch(&run, epoch, b"two\xff\0")
        .await
        .expect("put");
    assert_eq!(
        store.patch(&run).await.expect("patch"),
        Some(b"two\xff\0".to_vec())
    );
    for _ in 0..2 {
        store.remove_patch(&run, epoch).await.expect("remove");
        assert_eq!(store.patch(&run).await.expect("patch"), None);
    }
    store.put_patch(&run, epoch, b"three").await.expect("put");
    is_fenced(store.remove_patch(&run, Epoch(epoch.0 + 1)).await);
    assert!(store.patch(&run).await.expect("patch").is_some());
}

async fn cancelling_is_noted(store: Store) {
    let (run, _) = owned(&store, "a").await;
    assert!(store.cancel(&run).await.expect("cancel"));
    assert!(store.cancel(&run).await.expect("cancel twice"));
    assert!(
        store
            .get(&run)
            .await
            .expect("get")
            .expect("a record")
            .cancel_requested
    );
}

async fn unknown_runs_are_refused(store: Store) {
    let run = id("nobody");
    let unknown =
        |error: StoreError| assert!(matches!(error, StoreError::UnknownRun(_)), "{error}");
    unknown(store.claim(&run, "one", LEASE).await.expect_err("claim"));
    unknown(store.cancel(&run).await.expect_err("cancel"));
    unknown(
        store
            .append(&run, Epoch(1), vec![status(1, "x")])
            .await
            .expect_err("append"),
    );
    assert_eq!(store.get(&run).await.expect("get"), None);
    assert_eq!(store.patch(&run).await.expect("patch"), None);
    assert!(store.read(&run, 0, 10).await.expect("read").is_empty());
}

async fn many_producers_lose_nothing(store: Store) {
    const PRODUCERS: usize = 64;
    const BATCHES: u64 = 20;
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let store = Arc::clone(&store);
        producers.spawn(async move {
            let (run, epoch) = owned(&store, &format!("run-{producer}")).await;
            for batch in 0..BATCHES {
                let events = (1..=5).map(|n| status(batch * 5 + n, format!("{producer}")));
                store
                    .append(&run, epoch, events.collect())
                    .await
                    .expect("append");
            }
            (run, producer)
        });
    }
    while let Some(joined) = in_time(producers.join_next()).await {
        let (run, producer) = joined.expect("a producer");
        let events = all(&store, &run).await;
        let expected = (1..=BATCHES * 5).map(|n| (n, format!("{producer}")));
        let seen = events.iter().map(|logged| (logged.seq, message(logged)));
        assert!(seen.eq(expected), "run {run}");
    }
}

pub(super) fn message(logged: &LoggedEvent) -> String {
    match &logged.event {
        pullwright_protocol::Event::Status { message, .. } => message.clone(),
        other => panic!("unexpected {other:?}"),
    }
}

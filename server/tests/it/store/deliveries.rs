//! What every [`DeliveryStore`] must do.

use std::sync::Arc;
use std::time::Duration;

use pullwright::store::Store as WholeStore;
use pullwright::webhooks::{GIVEN_UP, NewDelivery, Phase};
use pullwright_core::log::stamp;
use pullwright_core::store::NewRun;
use pullwright_protocol::{Event, RunId};
use tokio::task::JoinSet;

use crate::support::{id, request};

pub(super) type Store = Arc<dyn WholeStore>;

const LEASE: Duration = Duration::from_secs(600);

/// Runs the whole contract, each part on a fresh store.
pub(super) async fn keeps<F: AsyncFn() -> Store>(fresh: F) {
    one_is_kept_once(fresh().await).await;
    one_is_taken_once_at_a_time(fresh().await).await;
    one_that_was_given_up_may_come_again(fresh().await).await;
    one_that_waits_counts_no_attempt(fresh().await).await;
    a_started_one_is_told_of_by_one(fresh().await).await;
    a_run_that_many_start_at_once_is_told_of_by_one(fresh().await).await;
    only_settled_ones_are_forgotten(fresh().await).await;
    a_change_is_found_by_its_page_and_its_commit(fresh().await).await;
}

fn new(name: &str, content: u8) -> NewDelivery {
    NewDelivery {
        id: name.to_owned(),
        digest: [content; 32],
        asked: format!("asked by {name}"),
        at_ms: 1000 + u64::from(content),
    }
}

async fn take(store: &Store, phase: Phase) -> Vec<String> {
    let taken = store.take_due(phase, LEASE, 10).await.expect("take");
    taken.into_iter().map(|delivery| delivery.id).collect()
}

async fn one_is_kept_once(store: Store) {
    assert!(store.accept(&new("a", 1)).await.expect("accept"));
    assert!(!store.accept(&new("a", 1)).await.expect("accept"));
    assert!(!store.accept(&new("a", 2)).await.expect("accept"), "its id");
    assert!(
        !store.accept(&new("b", 1)).await.expect("accept"),
        "its content"
    );
    assert!(store.accept(&new("b", 2)).await.expect("accept"));
    assert_eq!(take(&store, Phase::Do).await, ["a", "b"]);
    store.settle("a", "done").await.expect("settle");
    assert!(
        !store.accept(&new("a", 1)).await.expect("accept"),
        "still known"
    );
}

async fn one_is_taken_once_at_a_time(store: Store) {
    store.accept(&new("a", 1)).await.expect("accept");
    assert_eq!(take(&store, Phase::Tell).await, [""; 0]);
    let taken = store.take_due(Phase::Do, LEASE, 10).await.expect("take");
    assert_eq!(
        (&*taken[0].asked, &taken[0].run, taken[0].attempts),
        ("asked by a", &None, 1)
    );
    assert_eq!(take(&store, Phase::Do).await, [""; 0], "its lease lasts");
    store.put_off("a", Duration::ZERO).await.expect("put off");
    let again = store.take_due(Phase::Do, LEASE, 10).await.expect("take");
    assert_eq!(again[0].attempts, 2);
    store.put_off("a", Duration::ZERO).await.expect("put off");
    store.settle("a", "done").await.expect("settle");
    assert_eq!(take(&store, Phase::Do).await, [""; 0]);
    store.put_off("a", Duration::ZERO).await.expect("put off");
    assert_eq!(take(&store, Phase::Do).await, [""; 0], "it stays settled");
    for name in ["b", "c", "d"] {
        store
            .accept(&new(name, name.as_bytes()[0]))
            .await
            .expect("accept");
    }
    assert_eq!(
        store
            .take_due(Phase::Do, LEASE, 2)
            .await
            .expect("take")
            .len(),
        2
    );
    assert_eq!(take(&store, Phase::Do).await, ["d"]);
}

async fn one_that_was_given_up_may_come_again(store: Store) {
    store.accept(&new("a", 1)).await.expect("accept");
    assert_eq!(take(&store, Phase::Do).await, ["a"]);
    let outcome = format!("{GIVEN_UP}GitHub is away");
    store.settle("a", &outcome).await.expect("settle");
    assert!(
        !store.accept(&new("a", 2)).await.expect("accept"),
        "the id alone says nothing"
    );
    assert!(store.accept(&new("a", 1)).await.expect("accept"));
    assert!(
        !store.accept(&new("a", 1)).await.expect("accept"),
        "once for each time it is given up"
    );
    let again = store.take_due(Phase::Do, LEASE, 10).await.expect("take");
    assert_eq!((&*again[0].id, again[0].attempts), ("a", 1));
}

async fn one_that_waits_counts_no_attempt(store: Store) {
    store.accept(&new("a", 1)).await.expect("accept");
    for _ in 0..3 {
        let taken = store.take_due(Phase::Do, LEASE, 10).await.expect("take");
        assert_eq!((&*taken[0].digest, taken[0].attempts), (&[1; 32][..], 1));
        let waits = store.put_off_uncounted(&taken[0], Duration::ZERO);
        waits.await.expect("put off");
    }
}

async fn a_started_one_is_told_of_by_one(store: Store) {
    for (name, content) in [("a", 1), ("b", 2)] {
        store.accept(&new(name, content)).await.expect("accept");
    }
    assert_eq!(take(&store, Phase::Do).await, ["a", "b"]);
    let run = id("run");
    assert!(store.started("a", &run).await.expect("note"));
    assert!(
        store.started("a", &run).await.expect("note"),
        "the same again"
    );
    assert!(!store.started("b", &run).await.expect("note"));
    assert_eq!(take(&store, Phase::Do).await, [""; 0]);
    let told = store.take_due(Phase::Tell, LEASE, 10).await.expect("take");
    assert_eq!(
        (told.len(), &told[0].run, told[0].attempts),
        (1, &Some(run), 1)
    );
}

async fn a_run_that_many_start_at_once_is_told_of_by_one(store: Store) {
    for content in 0..8 {
        let delivery = new(&content.to_string(), content);
        store.accept(&delivery).await.expect("accept");
    }
    let mut noting = JoinSet::new();
    for content in 0..8 {
        let store = Arc::clone(&store);
        noting.spawn(async move { store.started(&content.to_string(), &id("run")).await });
    }
    let noted = noting.join_all().await.into_iter();
    let noted = noted.filter(|noted| *noted.as_ref().expect("note"));
    assert_eq!(noted.count(), 1);
}

async fn only_settled_ones_are_forgotten(store: Store) {
    for (name, content) in [("a", 1), ("b", 2), ("c", 3)] {
        store.accept(&new(name, content)).await.expect("accept");
    }
    for name in ["a", "c"] {
        store.settle(name, "done").await.expect("settle");
    }
    store.forget_deliveries(1003).await.expect("forget");
    assert!(
        store.accept(&new("a", 1)).await.expect("accept"),
        "it is forgotten"
    );
    assert!(
        !store.accept(&new("b", 2)).await.expect("accept"),
        "it is not settled"
    );
    assert!(
        !store.accept(&new("c", 3)).await.expect("accept"),
        "it is too new"
    );
}

async fn a_change_is_found_by_its_page_and_its_commit(store: Store) {
    let page = "https://github.com/owner/repo/pull/7";
    for (run, commit) in [("first", "aaaa"), ("second", "bbbb")] {
        changed(&store, &id(run), page, commit).await;
    }
    assert_eq!(
        store.proposed_by(page).await.expect("look"),
        Some(id("second"))
    );
    assert_eq!(
        store.pushed_by("aaaa").await.expect("look"),
        Some(id("first"))
    );
    assert_eq!(
        store.pushed_by("bbbb").await.expect("look"),
        Some(id("second"))
    );
    for nothing in ["", "https://github.com/owner/repo/pull/70", "cccc"] {
        assert_eq!(store.proposed_by(nothing).await.expect("look"), None);
        assert_eq!(store.pushed_by(nothing).await.expect("look"), None);
    }
}

/// A run that has pushed a commit and proposed it.
async fn changed(store: &Store, run: &RunId, page: &str, commit: &str) {
    let new = NewRun {
        id: run.clone(),
        request: request("change"),
        owner: None,
        idempotency_key: None,
        at_ms: 1,
        sealed_token: None,
    };
    store.create(new).await.expect("create");
    let epoch = store.claim(run, "worker", LEASE).await.expect("claim");
    let pushed = Event::BranchPushed {
        branch: "pullwright/change".to_owned(),
        commit: commit.to_owned(),
        check_files: Vec::new(),
        fork: None,
    };
    let opened = Event::PullRequestOpened {
        url: page.to_owned(),
        number: 7,
        branch: "pullwright/change".to_owned(),
        base: "main".to_owned(),
        draft: false,
    };
    let mut opened = stamp(2, opened);
    opened.at_ms += u64::from(commit == "bbbb");
    let events = vec![stamp(1, pushed), opened];
    store.append(run, epoch, events).await.expect("append");
}

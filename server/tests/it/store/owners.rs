//! The part of the contract that is about owners.

use pullwright_core::store::{Created, NewRun, RunFilter, RunRecord};

use super::contract::{Store, all, new};
use crate::support::{id, request, status};

/// What a store must find in tables of the first version, which `run` fills through SQL.
pub(super) async fn finds_runs_of_the_first_version<R, F>(run: R, open: F)
where
    R: AsyncFn(&str),
    F: AsyncFn() -> Store,
{
    let request = serde_json::to_string(&request("do it")).expect("JSON");
    run(&format!(
        "INSERT INTO runs (id, request, idempotency_key, created_at_ms, last_seq) \
         VALUES ('a', '{request}', 'key', 1000, 1)"
    ))
    .await;
    let event = serde_json::to_string(&status(1, "x").event).expect("JSON");
    run(&format!(
        "INSERT INTO events (run, seq, at_ms, event) VALUES ('a', 1, 1, '{event}')"
    ))
    .await;
    let store = open().await;
    let record = store.get(&id("a")).await.expect("get").expect("a record");
    assert_eq!((record.owner, record.last_seq), (None, 1));
    assert_eq!(all(&store, &id("a")).await.len(), 1);
    let again = store.create(new("b", "do it", Some("key"))).await;
    assert_eq!(again.expect("create"), Created::Joined(id("a")));
    let other = store.create(new_of(Some("ann"), "b", Some("key"))).await;
    assert_eq!(other.expect("create"), Created::New);
}

pub(super) async fn a_key_is_its_owner_s(store: Store) {
    let owners = [None, Some("ann"), Some("bob")];
    for (run, owner) in ["a", "b", "c"].into_iter().zip(owners) {
        let created = store.create(new_of(owner, run, Some("key"))).await;
        assert_eq!(created.expect("create"), Created::New, "{owner:?}");
    }
    for (run, owner) in ["a", "b", "c"].into_iter().zip(owners) {
        let again = store.create(new_of(owner, "other", Some("key"))).await;
        let joined = Created::Joined(id(run));
        assert_eq!(again.expect("create"), joined, "{owner:?}");
    }
    assert_eq!(store.list(10).await.expect("list").len(), 3);
}

pub(super) async fn an_owner_s_runs_are_listed(store: Store) {
    for (run, owner) in [("a", Some("ann")), ("b", None), ("c", Some("bob"))] {
        store
            .create(new_of(owner, run, None))
            .await
            .expect("create");
    }
    store
        .create(new_of(Some("ann"), "d", None))
        .await
        .expect("create");
    let ids = |runs: Vec<RunRecord>| runs.into_iter().map(|run| run.id.0).collect::<Vec<_>>();
    let of = async |owner: &str, limit| {
        let filter = RunFilter {
            owner: Some(owner.to_owned()),
            ..RunFilter::default()
        };
        ids(store.page(&filter, None, limit).await.expect("list"))
    };
    assert_eq!(of("ann", 10).await, ["d", "a"], "newest first");
    assert_eq!(of("ann", 1).await, ["d"]);
    assert_eq!(of("bob", 10).await, ["c"]);
    assert_eq!(of("nobody", 10).await, [""; 0]);
    let record = store.get(&id("c")).await.expect("get").expect("a record");
    assert_eq!(record.owner.as_deref(), Some("bob"));
    let nobody_s = store.get(&id("b")).await.expect("get").expect("a record");
    assert_eq!(nobody_s.owner, None);
}

pub(super) fn new_of(owner: Option<&str>, run: &str, key: Option<&str>) -> NewRun {
    NewRun {
        owner: owner.map(str::to_owned),
        ..new(run, "do it", key)
    }
}

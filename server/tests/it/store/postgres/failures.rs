//! A database that refuses: what is asked for fails with a reason, and the store goes on afterwards.

use pullwright_core::store::{StoreError, StoreFailure};
use pullwright_protocol::RunId;

use super::server::{self, Server};
use super::{open, sql};
use crate::store::contract::{self, LEASE, Store};
use crate::support::{in_time, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_database_is_read_and_says_that_it_is_not_written() {
    let Some(server) = Server::shared("a read-only database") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    append(&store, &run, 1).await.expect("append");
    set_read_only(server, &url, "on").await;
    let refused = in_time(append(&store, &run, 2)).await;
    assert_eq!(
        failure(&refused),
        Some(StoreFailure::ReadOnly),
        "{refused:?}"
    );
    let refused = in_time(store.heartbeat(&run, epoch, LEASE)).await;
    assert_eq!(
        failure(&refused),
        Some(StoreFailure::ReadOnly),
        "{refused:?}"
    );
    assert_eq!(contract::all(&store, &run).await.len(), 1);
    set_read_only(server, &url, "off").await;
    in_time(append(&store, &run, 2)).await.expect("append");
    assert_eq!(contract::all(&store, &run).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_fails_alone() {
    let Some(server) = Server::shared("a full disk of the database") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (big, epoch) = contract::owned(&store, "big").await;
    let (small, _) = contract::owned(&store, "small").await;
    no_room_above(&url, 10_000).await;
    for seq in 1..=20 {
        let too_much = vec![status(1, "x".repeat(20_000))];
        let (refused, taken) = in_time(async {
            tokio::join!(
                store.append(&big, epoch, too_much),
                append(&store, &small, seq),
            )
        })
        .await;
        assert_eq!(failure(&refused), Some(StoreFailure::Full), "{refused:?}");
        taken.expect("a small append");
    }
    append(&store, &big, 1).await.expect("a small one fits");
    assert_eq!(contract::all(&store, &big).await.len(), 1);
    assert_eq!(contract::all(&store, &small).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_write_the_same_runs_do_not_stand_in_each_other_s_way() {
    let Some(server) = Server::shared("locks between servers") else {
        return;
    };
    let url = server.database().await;
    let stores = [open(&url).await, open(&url).await, open(&url).await];
    for number in 0..20 {
        contract::create(&stores[0], &format!("run-{number}")).await;
    }
    let mut cancelling = tokio::task::JoinSet::new();
    for turn in 0..600 {
        let store = std::sync::Arc::clone(&stores[turn % 3]);
        let run = RunId(format!("run-{}", (turn * 7) % 20));
        cancelling.spawn(async move { store.cancel(&run).await });
    }
    for cancelled in in_time(cancelling.join_all()).await {
        assert!(cancelled.expect("cancel"));
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(sql::numbers(&url, deadlocks).await, [0]);
}

/// One that was cut off and is back writes to runs that another one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_append_to_the_same_runs_do_not_wait_for_each_other() {
    let Some(server) = Server::shared("appends of two servers to the same runs") else {
        return;
    };
    let url = server.database().await;
    let stores = [open(&url).await, open(&url).await];
    let mut runs = Vec::new();
    for number in 0..40 {
        let name = format!("run-{number}");
        runs.push(contract::owned(&stores[0], &name).await.0);
    }
    for seq in 1..=50 {
        let mut appending = tokio::task::JoinSet::new();
        for store in &stores {
            for run in &runs {
                let (store, run) = (std::sync::Arc::clone(store), run.clone());
                // One of the two is refused.
                appending.spawn(async move { append(&store, &run, seq).await.is_ok() });
            }
            runs.reverse();
        }
        let appended = in_time(appending.join_all()).await;
        let taken = appended.iter().filter(|is_taken| **is_taken).count();
        assert!(taken >= runs.len(), "{taken} at {seq}");
    }
    for run in &runs {
        assert_eq!(contract::all(&stores[0], run).await.len(), 50);
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(sql::numbers(&url, deadlocks).await, [0]);
}

/// As the first owner of the run.
async fn append(store: &Store, run: &RunId, seq: u64) -> Result<(), StoreError> {
    let first = pullwright_core::store::Epoch(1);
    store.append(run, first, vec![status(seq, "x")]).await
}

fn failure<T>(result: &Result<T, StoreError>) -> Option<StoreFailure> {
    match result {
        Err(StoreError::Database { failure, .. }) => Some(*failure),
        _ => None,
    }
}

/// New connections count, so those that are there are closed.
async fn set_read_only(server: &Server, url: &str, value: &str) {
    let database = server::database_of(url);
    let change = format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = {value}; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    );
    sql::run(&server.url("postgres"), &change).await;
}

/// Fails with the error of a full disk where an event is larger.
async fn no_room_above(url: &str, bytes: usize) {
    let trigger = format!(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE EXCEPTION 'could not extend file: No space left on device' \
             USING ERRCODE = 'disk_full'; \
         END $$; \
         CREATE TRIGGER no_room BEFORE INSERT ON events FOR EACH ROW \
           WHEN (length(NEW.event) > {bytes}) EXECUTE FUNCTION no_room()"
    );
    sql::run(url, &trigger).await;
}

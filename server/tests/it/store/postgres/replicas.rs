//! Several servers on one database.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::store::{Created, NewRun, StoreError};
use pullwright_protocol::Outcome;
use sqlx::postgres::PgListener;

use super::server::Server;
use super::{open, sql};
use crate::store::contract::{self, LEASE, Store};
use crate::support::{done, id, in_time, request, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lost_its_run_cannot_write_to_it() {
    let Some(server) = Server::shared("fencing between servers") else {
        return;
    };
    let url = server.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let run = contract::create(&one, "a").await;
    let first = one.claim(&run, "one", Duration::ZERO).await.expect("claim");
    let append = one.append(&run, first, vec![status(1, "one")]);
    append.await.expect("append");
    let second = two.claim(&run, "two", LEASE).await.expect("claim");
    for refused in [
        one.append(&run, first, vec![status(2, "late")]).await,
        one.heartbeat(&run, first, LEASE).await,
        one.put_patch(&run, first, b"late").await,
        one.finish(&run, first, Outcome::NoChanges, done(2, Outcome::NoChanges))
            .await,
    ] {
        assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    }
    let append = two.append(&run, second, vec![status(2, "two")]);
    append.await.expect("append");
    let seen = contract::all(&one, &run).await;
    let messages: Vec<_> = seen.iter().map(contract::message).collect();
    assert_eq!(messages, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_owner_comes_after_the_next_one_took_over() {
    let Some(server) = Server::shared("a change of owners amid appends") else {
        return;
    };
    let url = server.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    for round in 0..10 {
        let run = contract::create(&one, &format!("run-{round}")).await;
        let first = one.claim(&run, "one", Duration::ZERO).await.expect("claim");
        let mut hint = one.watch(&run);
        let writing = tokio::spawn({
            let (one, run) = (Arc::clone(&one), run.clone());
            async move {
                let mut written = 0;
                while one
                    .append(&run, first, vec![status(written + 1, "one")])
                    .await
                    .is_ok()
                {
                    written += 1;
                }
                written
            }
        });
        in_time(hint.wait_for(|known| *known >= 5))
            .await
            .expect("hint");
        let second = two.claim(&run, "two", LEASE).await.expect("claim");
        let record = two.get(&run).await.expect("get").expect("a record");
        let next = status(record.last_seq + 1, "two");
        let append = two.append(&run, second, vec![next]).await;
        append.expect("what was there at the claim is all there is");
        let written = in_time(writing).await.expect("the writer");
        assert_eq!(written, record.last_seq);
        let seen = contract::all(&two, &run).await;
        let two_s = seen
            .iter()
            .filter(|event| contract::message(event) == "two");
        assert_eq!((seen.len() as u64, two_s.count()), (written + 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_is_claimed_once() {
    let Some(server) = Server::shared("claims at the same time") else {
        return;
    };
    let stores = several(&server.database().await).await;
    for round in 0..20 {
        let run = contract::create(&stores[0], &format!("run-{round}")).await;
        let mut claims = tokio::task::JoinSet::new();
        for (worker, store) in stores.iter().enumerate() {
            let (store, run) = (Arc::clone(store), run.clone());
            claims
                .spawn(async move { store.claim(&run, &format!("worker-{worker}"), LEASE).await });
        }
        let claims = in_time(claims.join_all()).await;
        let won = claims.iter().filter(|claim| claim.is_ok()).count();
        assert_eq!(won, 1, "{claims:?}");
    }
    assert!(stores[0].orphans().await.expect("orphans").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_at_the_same_time_makes_one_run() {
    let Some(server) = Server::shared("one key at several servers") else {
        return;
    };
    let stores = several(&server.database().await).await;
    for round in 0..10 {
        let mut creating = tokio::task::JoinSet::new();
        for (number, store) in stores.iter().enumerate() {
            let store = Arc::clone(store);
            let new = NewRun {
                id: id(&format!("run-{round}-{number}")),
                request: request("do it"),
                owner: None,
                idempotency_key: Some(format!("key-{round}")),
                at_ms: 1000,
                sealed_token: None,
            };
            creating.spawn(async move { (new.id.clone(), store.create(new).await) });
        }
        let created = in_time(creating.join_all()).await;
        let is_new = |created: &Result<_, _>| matches!(created, Ok(Created::New));
        let made: Vec<_> = created.iter().filter(|(_, made)| is_new(made)).collect();
        let [(made, _)] = made[..] else {
            panic!("not one run: {created:?}");
        };
        for (id, answer) in &created {
            let joined = Created::Joined(made.clone());
            assert!(
                id == made || answer.as_ref().unwrap() == &joined,
                "{answer:?}"
            );
        }
    }
    assert_eq!(stores[0].list(100).await.expect("list").len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_hears_of_what_another_server_commits() {
    let Some(server) = Server::shared("watching across servers") else {
        return;
    };
    let url = server.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let (run, epoch) = contract::owned(&one, "a").await;
    let mut hint = two.watch(&run);
    for seq in 1..=5 {
        let append = one.append(&run, epoch, vec![status(seq, "x")]);
        append.await.expect("append");
        in_time(hint.wait_for(|known| *known >= seq))
            .await
            .expect("hint");
        assert_eq!(contract::all(&two, &run).await.len() as u64, seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_whose_line_broke_misses_nothing() {
    let Some(server) = Server::shared("a broken line between servers") else {
        return;
    };
    let url = server.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let (run, epoch) = contract::owned(&one, "a").await;
    let mut hint = two.watch(&run);
    for seq in 1..=5 {
        break_lines(&url).await;
        let append = one.append(&run, epoch, vec![status(seq, "x")]);
        append.await.expect("append");
        in_time(hint.wait_for(|known| *known >= seq))
            .await
            .expect("hint");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_run_is_spoken_of_only_so_often() {
    let Some(server) = Server::shared("how often servers notify") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    let mut listener = PgListener::connect(&url).await.expect("a listener");
    listener.listen("pullwright_runs").await.expect("listen");
    let begin = std::time::Instant::now();
    for seq in 1..=300 {
        let append = store.append(&run, epoch, vec![status(seq, "x")]);
        append.await.expect("append");
    }
    let last = contract::owned(&store, "last").await;
    let append = store.append(&last.0, last.1, vec![status(1, "x")]);
    append.await.expect("append");
    let mut heard = 0;
    while in_time(listener.recv()).await.expect("heard").payload() != "last" {
        heard += 1;
    }
    let windows = 1 + begin.elapsed().as_millis() / 250;
    assert!(heard <= windows, "{heard} in {windows} windows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_watchers_hold_no_connection() {
    let Some(server) = Server::shared("idle watchers") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (run, epoch) = contract::owned(&store, "a").await;
    let mut hints: Vec<_> = (0..1000).map(|_| store.watch(&run)).collect();
    let append = store.append(&run, epoch, vec![status(1, "x")]);
    append.await.expect("append");
    for hint in &mut hints {
        in_time(hint.wait_for(|known| *known >= 1))
            .await
            .expect("hint");
    }
    let held = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'pullwright'";
    let held = sql::numbers(&url, held).await;
    assert!(held[0] <= 10, "{held:?} connections");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_database_s_clock_counts() {
    let Some(server) = Server::shared("clocks that differ") else {
        return;
    };
    for hours in [-1, 1] {
        let url = server.database().await;
        shift_clock(&url, hours).await;
        let shifted = "SELECT round(extract(epoch FROM clock_timestamp() - now()) / 3600)::bigint";
        assert_eq!(sql::numbers(&url, shifted).await, [i64::from(hours)]);
        let (one, two) = (open(&url).await, open(&url).await);
        let (run, epoch) = contract::owned(&one, "a").await;
        assert!(two.orphans().await.expect("orphans").is_empty());
        assert!(two.claim(&run, "two", LEASE).await.is_err());
        let short = one.heartbeat(&run, epoch, Duration::ZERO);
        short.await.expect("heartbeat");
        let orphans = two.orphans().await.expect("orphans");
        assert_eq!(orphans, std::slice::from_ref(&run));
        two.claim(&run, "two", LEASE).await.expect("claim");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_being_written_is_no_orphan() {
    use sqlx::Connection;
    let Some(server) = Server::shared("a run that is being claimed") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let (held, free) = (
        contract::create(&store, "held").await,
        contract::create(&store, "free").await,
    );
    let mut connection = sql::connect(&url).await;
    // Their creator has had its time to claim them.
    sqlx::query("UPDATE runs SET leased_until_ms = 0")
        .execute(&mut connection)
        .await
        .expect("update");
    let mut claiming = connection.begin().await.expect("begin");
    sqlx::query("UPDATE runs SET epoch = epoch + 1 WHERE id = $1")
        .bind(&held.0)
        .execute(&mut *claiming)
        .await
        .expect("update");
    assert_eq!(in_time(store.orphans()).await.expect("orphans"), [free]);
    claiming.rollback().await.expect("rollback");
    assert_eq!(store.orphans().await.expect("orphans").len(), 2);
}

async fn several(url: &str) -> Vec<Store> {
    const SERVERS: usize = 8;
    let mut stores = Vec::new();
    for _ in 0..SERVERS {
        stores.push(open(url).await);
    }
    stores
}

async fn break_lines(url: &str) {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() \
               AND query NOT LIKE 'COMMIT%'";
    sql::numbers(url, end).await;
}

/// Gives the database a clock that differs from that of the servers.
async fn shift_clock(url: &str, hours: i32) {
    let shift = format!(
        "CREATE SCHEMA shifted; \
         CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
           AS 'SELECT pg_catalog.clock_timestamp() + interval ''{hours} hours'''; \
         DO $$ BEGIN EXECUTE format( \
           'ALTER DATABASE %I SET search_path = shifted, pg_catalog, public', current_database()); \
         END $$"
    );
    sql::run(url, &shift).await;
}

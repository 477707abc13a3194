//! A database that dies and comes back in the middle of appends: nothing is lost, nothing doubled.

use std::process::Command;
use std::time::Duration;

use pullwright_protocol::RunId;

use super::producers::Producers;
use super::server::Server;
use super::{open, sql};
use crate::store::contract::{self, LEASE, Store};
use crate::support::{in_time, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_lose_and_double_nothing() {
    let Some(server) = Server::shared("connections that break") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let produced = Producers::start(&store);
    while produced.are_at_work() {
        produced.grow_by(20).await;
        break_connections(&url).await;
    }
    produced.check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_loses_and_doubles_nothing() {
    let Some(server) = Server::own("a killed backend") else {
        return;
    };
    let url = server.database().await;
    let store = open(&url).await;
    let produced = Producers::start(&store);
    for _ in 0..3 {
        produced.grow_by(50).await;
        kill_writer(&url).await;
    }
    produced.check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_database_loses_and_doubles_nothing() {
    let Some(server) = Server::own("a restart of the database") else {
        return;
    };
    let url = server.database().await;
    let (store, other) = (open(&url).await, open(&url).await);
    let produced = Producers::start(&store);
    let (run, epoch) = contract::owned(&store, "watched").await;
    let mut hint = other.watch(&run);
    for (seq, mode) in (1..).zip(["fast", "immediate"]) {
        produced.grow_by(50).await;
        tokio::task::block_in_place(|| server.control(&["restart", "-m", mode]));
        let append = store.append(&run, epoch, vec![status(seq, "x")]);
        in_time(append).await.expect("append");
        in_time(hint.wait_for(|known| *known >= seq))
            .await
            .expect("hint");
    }
    produced.check(&store).await;
}

/// While the database was away, nobody could extend a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_makes_no_orphans_of_runs_whose_owners_live() {
    let Some(server) = Server::own("leases that run out in an outage") else {
        return;
    };
    let url = server.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let (run, epoch) = contract::owned(&one, "a").await;
    let short = one.heartbeat(&run, epoch, Duration::from_millis(1));
    short.await.expect("heartbeat");
    assert_eq!(
        in_time(some_orphans(&two)).await,
        std::slice::from_ref(&run)
    );
    tokio::task::block_in_place(|| server.control(&["restart", "-m", "fast"]));
    assert_eq!(two.orphans().await.expect("orphans"), []);
    let beat = one.heartbeat(&run, epoch, LEASE);
    beat.await.expect("its owner still has it");
    let (dead, epoch) = contract::owned(&one, "dead").await;
    let last = one.heartbeat(&dead, epoch, Duration::ZERO);
    last.await.expect("heartbeat");
    assert_eq!(in_time(some_orphans(&two)).await, [dead]);
}

/// The orphans, once there are any.
async fn some_orphans(store: &Store) -> Vec<RunId> {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        look.tick().await;
        let orphans = store.orphans().await.expect("orphans");
        if !orphans.is_empty() {
            return orphans;
        }
    }
}

async fn break_connections(url: &str) {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sql::numbers(url, end).await;
}

/// Its server then ends all others too and recovers, as after a crash.
async fn kill_writer(url: &str) {
    let writer = "SELECT pid::bigint FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND query ~ '^(BEGIN|COMMIT|UPDATE|INSERT|WITH)' LIMIT 1";
    let [pid] = sql::numbers(url, writer).await[..] else {
        panic!("nobody writes");
    };
    let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.expect("kill").success());
}

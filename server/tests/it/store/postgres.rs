//! The Postgres store, on a real server that the tests start.

mod cutting_proxy;
mod failures;
mod going_on;
mod lost_answers;
mod patches;
mod producers;
mod replicas;
mod restarts;
mod retention;
mod server;
mod servers;
mod slow_proxy;
mod sql;
mod tls;

use std::sync::Arc;

use pullwright::access::AccessStore;
use pullwright::store::{PostgresAddress, PostgresError, PostgresStore};
use pullwright_core::store::RunStore;

use super::contract::{self, Store};
use super::{access_contract, deliveries, owners};
use crate::runs::command_line::Desk;
use crate::support::in_time;
pub(crate) use server::Server;

/// The server that tests share, for those of other rooms; `what` is skipped where there is none.
pub(crate) fn server(what: &str) -> Option<&'static Server> {
    Server::shared(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    let Some(server) = Server::shared("the store's contract on Postgres") else {
        return;
    };
    contract::keeps(async || open(&server.database().await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_of_keys() {
    let Some(server) = Server::shared("the contract of keys on Postgres") else {
        return;
    };
    access_contract::keeps(async || {
        let url = server.database().await;
        let store = PostgresStore::open(&address(&url)).await.expect("open");
        Arc::new(store) as access_contract::Store
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_of_deliveries() {
    let Some(server) = Server::shared("the contract of deliveries on Postgres") else {
        return;
    };
    deliveries::keeps(async || {
        let url = server.database().await;
        let store = PostgresStore::open(&address(&url)).await.expect("open");
        Arc::new(store) as deliveries::Store
    })
    .await;
}

#[tokio::test]
async fn the_record_of_what_was_done_is_only_added_to() {
    use sqlx::Connection;
    let Some(server) = Server::shared("the record on Postgres") else {
        return;
    };
    let url = server.database().await;
    let store = PostgresStore::open(&address(&url)).await.expect("open");
    store
        .record(&[access_contract::entry("a")])
        .await
        .expect("record");
    let mut connection = sql::connect(&url).await;
    for change in [
        "UPDATE audit SET actor = 'bob'",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ] {
        let refused = sqlx::raw_sql(change).execute(&mut connection).await;
        let error = refused.expect_err(change).to_string();
        assert!(error.contains("only added to"), "{error}");
    }
    connection.close().await.expect("close");
    assert_eq!(store.recorded(None, 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let Some(server) = Server::shared("reopening a store on Postgres") else {
        return;
    };
    let url = server.database().await;
    contract::survives_reopening(async || open(&url).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_make_the_tables_once() {
    let Some(server) = Server::shared("servers that start together") else {
        return;
    };
    let url = server.database().await;
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        opening.spawn(async move { open(&url).await });
    }
    let stores = in_time(opening.join_all()).await;
    for (number, store) in stores.iter().enumerate() {
        contract::create(store, &format!("run-{number}")).await;
    }
    assert_eq!(stores[0].list(100).await.expect("list").len(), stores.len());
    let versions = sql::numbers(&url, "SELECT version FROM schema_version ORDER BY version").await;
    let each_once: Vec<i64> = (1..).take(versions.len()).collect();
    assert_eq!(versions, each_once);
}

/// The tables of version 1.
const FIRST_VERSION: &str = "
    CREATE TABLE schema_version (version bigint NOT NULL);
    INSERT INTO schema_version VALUES (1);
    CREATE TABLE runs (id text PRIMARY KEY, request text NOT NULL, idempotency_key text UNIQUE,
        created_at_ms bigint NOT NULL, finished_at_ms bigint, outcome text,
        cancel_requested boolean NOT NULL DEFAULT false, last_seq bigint NOT NULL DEFAULT 0,
        epoch bigint NOT NULL DEFAULT 0, worker text, leased_until_ms bigint NOT NULL DEFAULT 0);
    CREATE TABLE events (run text NOT NULL, seq bigint NOT NULL, at_ms bigint NOT NULL,
        event text NOT NULL, PRIMARY KEY (run, seq));
    CREATE TABLE patches (run text PRIMARY KEY, patch bytea NOT NULL)";

#[tokio::test]
async fn runs_of_the_first_version_are_found() {
    let Some(server) = Server::shared("a database of the first version") else {
        return;
    };
    let url = server.database().await;
    sql::run(&url, FIRST_VERSION).await;
    owners::finds_runs_of_the_first_version(
        async |statement: &str| sql::run(&url, statement).await,
        async || open(&url).await,
    )
    .await;
}

/// A step over large tables takes longer than a statement otherwise may.
#[tokio::test]
async fn an_upgrade_may_take_its_time() {
    let Some(server) = Server::shared("how long an upgrade may take") else {
        return;
    };
    let url = server.database().await;
    sql::run(&url, FIRST_VERSION).await;
    let watch = "CREATE TABLE seen (statement bigint, lock bigint);
        CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen SELECT
                (SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'),
                (SELECT setting::bigint FROM pg_settings WHERE name = 'lock_timeout');
        END $$;
        CREATE EVENT TRIGGER look ON ddl_command_start EXECUTE FUNCTION look()";
    sql::run(&url, watch).await;
    drop(open(&url).await);
    let limits = sql::numbers(&url, "SELECT DISTINCT statement FROM seen").await;
    assert_eq!(limits, [0], "in milliseconds");
    let waits = sql::numbers(&url, "SELECT DISTINCT lock FROM seen").await;
    assert_eq!(waits, [5000], "in milliseconds");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused_and_left_alone() {
    let Some(server) = Server::shared("a database of a later version") else {
        return;
    };
    let url = server.database().await;
    drop(open(&url).await);
    sql::run(&url, "INSERT INTO schema_version VALUES (99)").await;
    let error = PostgresStore::open(&address(&url))
        .await
        .expect_err("newer");
    assert!(
        matches!(error, PostgresError::Newer { found: 99, .. }),
        "{error:?}"
    );
    let versions = "SELECT version FROM schema_version ORDER BY version";
    let versions = sql::numbers(&url, versions).await;
    assert_eq!(versions.last(), Some(&99));
}

/// Whoever only looks into a database leaves it to those who serve it.
#[tokio::test]
async fn a_database_of_an_earlier_version_is_opened_as_it_is_or_not_at_all() {
    let Some(server) = Server::shared("a database of an earlier version") else {
        return;
    };
    let url = server.database().await;
    let absent = PostgresStore::open_as_it_is(&address(&url)).await;
    let absent = absent.expect_err("nothing is there");
    assert!(matches!(absent, PostgresError::Absent { .. }), "{absent:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(sql::numbers(&url, tables).await, [0]);
    sql::run(&url, FIRST_VERSION).await;
    let older = PostgresStore::open_as_it_is(&address(&url)).await;
    let older = older.expect_err("older");
    assert!(
        matches!(older, PostgresError::Older { found: 1, .. }),
        "{older:?}"
    );
    let versions = "SELECT version FROM schema_version";
    assert_eq!(sql::numbers(&url, versions).await, [1]);
    drop(open(&url).await);
    let store = PostgresStore::open_as_it_is(&address(&url)).await;
    assert!(store.expect("open").list(1).await.expect("list").is_empty());
}

#[tokio::test]
async fn a_command_that_looks_into_an_earlier_database_leaves_it_alone() {
    let Some(server) = Server::shared("commands on an earlier database") else {
        return;
    };
    let url = server.database().await;
    sql::run(&url, FIRST_VERSION).await;
    let desk = Desk::new("replies = []", "");
    for task in [
        &["runs", "list"][..],
        &["runs", "show", "a"],
        &["runs", "cancel", "a"],
        &["replay", "a"],
        &["keys", "list"],
    ] {
        let arguments = [task, &["--database", "--config", "plugins.toml"]].concat();
        let output = desk
            .pullwright(&arguments)
            .env("DATABASE_URL", &url)
            .output();
        let output = output.expect("start pullwright");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{task:?}: {said}");
        assert!(
            said.contains("has schema version 1, and"),
            "{task:?}: {said}"
        );
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    let versions = "SELECT version FROM schema_version";
    assert_eq!(sql::numbers(&url, versions).await, [1]);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_the_password() {
    let Some(server) = Server::shared("a database that is not there") else {
        return;
    };
    let url = format!("{}&password=hunter2", server.url("nowhere"));
    let error = PostgresStore::open(&address(&url)).await.expect_err("none");
    let text = format!("{error} {error:?}");
    assert!(text.contains("database nowhere"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn tables_of_somebody_else_are_left_alone() {
    let Some(server) = Server::shared("a database with other tables") else {
        return;
    };
    let url = server.database().await;
    sql::run(&url, "CREATE TABLE runs (mine text)").await;
    let error = PostgresStore::open(&address(&url))
        .await
        .expect_err("taken");
    assert!(error.to_string().contains("of its own"), "{error}");
    let ours = "SELECT 1::bigint WHERE to_regclass('events') IS NOT NULL \
                OR to_regclass('schema_version') IS NOT NULL";
    assert_eq!(sql::numbers(&url, ours).await, [0; 0]);
}

async fn open(url: &str) -> Store {
    Arc::new(PostgresStore::open(&address(url)).await.expect("open"))
}

fn address(url: &str) -> PostgresAddress {
    url.parse().expect("an address")
}

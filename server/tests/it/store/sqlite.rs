use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use pullwright::access::AccessStore;
use pullwright::store::{OpenError, SqliteStore, StoreOptions};
use pullwright_core::store::StoreError;
use tempfile::TempDir;

use super::{access_contract, contract, deliveries, owners};
use crate::support::{in_time, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let folders = Mutex::new(Vec::new());
    contract::keeps(async || {
        let folder = TempDir::new().expect("a folder");
        let store = open(&folder).await;
        folders.lock().expect("lock").push(folder);
        store
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract_of_keys() {
    let folders = Mutex::new(Vec::new());
    access_contract::keeps(async || {
        let folder = TempDir::new().expect("a folder");
        let store = SqliteStore::open(path(&folder)).await.expect("open");
        folders.lock().expect("lock").push(folder);
        Arc::new(store) as access_contract::Store
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract_of_deliveries() {
    let folders = Mutex::new(Vec::new());
    deliveries::keeps(async || {
        let folder = TempDir::new().expect("a folder");
        let store = SqliteStore::open(path(&folder)).await.expect("open");
        folders.lock().expect("lock").push(folder);
        Arc::new(store) as deliveries::Store
    })
    .await;
}

#[tokio::test]
async fn the_record_of_what_was_done_is_only_added_to() {
    use sqlx::Connection;
    let folder = TempDir::new().expect("a folder");
    let store = SqliteStore::open(path(&folder)).await.expect("open");
    store
        .record(&[access_contract::entry("a")])
        .await
        .expect("record");
    let url = format!("sqlite://{}", path(&folder).display());
    let mut file = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("connect");
    for change in ["UPDATE audit SET actor = 'bob'", "DELETE FROM audit"] {
        let refused = sqlx::raw_sql(change).execute(&mut file).await;
        let error = refused.expect_err(change).to_string();
        assert!(error.contains("only added to"), "{error}");
    }
    assert_eq!(store.recorded(None, 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = TempDir::new().expect("a folder");
    contract::survives_reopening(async || open(&folder).await).await;
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_leaves_the_store_usable() {
    let folder = TempDir::new().expect("a folder");
    let options = StoreOptions {
        max_pages: Some(64),
    };
    let store = SqliteStore::open_with(path(&folder), options)
        .await
        .expect("open");
    let store: contract::Store = Arc::new(store);
    let (run, epoch) = contract::owned(&store, "a").await;
    let too_much = status(1, "x".repeat(1 << 20));
    let refused = in_time(store.append(&run, epoch, vec![too_much])).await;
    let error = refused.expect_err("there is no room");
    assert!(
        matches!(
            &error,
            StoreError::Database {
                what: "appending events",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("full"), "{error}");
    store
        .append(&run, epoch, vec![status(1, "small")])
        .await
        .expect("a small one fits");
    assert_eq!(contract::all(&store, &run).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_does_not_fit_fails_alone() {
    let folder = TempDir::new().expect("a folder");
    let options = StoreOptions {
        max_pages: Some(256),
    };
    let store = SqliteStore::open_with(path(&folder), options)
        .await
        .expect("open");
    let store: contract::Store = Arc::new(store);
    let (big, big_epoch) = contract::owned(&store, "big").await;
    let (small, small_epoch) = contract::owned(&store, "small").await;
    let patch = vec![7; 4 << 20];
    for seq in 1..=20 {
        let (refused, taken) = in_time(async {
            tokio::join!(
                store.put_patch(&big, big_epoch, &patch),
                store.append(&small, small_epoch, vec![status(seq, "x")]),
            )
        })
        .await;
        assert!(
            matches!(refused, Err(StoreError::Database { .. })),
            "{refused:?}"
        );
        taken.expect("a small append");
    }
    assert_eq!(contract::all(&store, &small).await.len(), 20);
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder).await;
    contract::create(&store, "a").await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path(&folder).parent().expect("a parent")).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name());
    }
    assert!(
        names.len() >= 2,
        "the write-ahead log is there too: {names:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_kept() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("notes.txt");
    let text = "these are my notes, not a database\n".repeat(200);
    std::fs::write(&file, &text).expect("write");
    let error = SqliteStore::open(&file).await.expect_err("no database");
    assert!(matches!(error, OpenError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let folder = TempDir::new().expect("a folder");
    drop(open(&folder).await);
    let later = "INSERT INTO schema_version (version) VALUES (99)";
    execute(&path(&folder), later).await;
    let error = SqliteStore::open(path(&folder)).await.expect_err("too new");
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error:?}"
    );
}

/// The tables of version 1.
const FIRST_VERSION: &str = "
    CREATE TABLE schema_version (version INTEGER NOT NULL);
    INSERT INTO schema_version VALUES (1);
    CREATE TABLE runs (id TEXT PRIMARY KEY, request TEXT NOT NULL, idempotency_key TEXT UNIQUE,
        created_at_ms INTEGER NOT NULL, finished_at_ms INTEGER, outcome TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0, worker TEXT, leased_until_ms INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        event TEXT NOT NULL, PRIMARY KEY (run, seq));
    CREATE TABLE patches (run TEXT PRIMARY KEY, patch BLOB NOT NULL)";

#[tokio::test]
async fn runs_of_the_first_version_are_found() {
    let folder = TempDir::new().expect("a folder");
    drop(open(&folder).await);
    for entry in std::fs::read_dir(path(&folder).parent().expect("a parent")).expect("a folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("remove");
    }
    execute(&path(&folder), FIRST_VERSION).await;
    owners::finds_runs_of_the_first_version(
        async |sql: &str| execute(&path(&folder), sql).await,
        async || open(&folder).await,
    )
    .await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error() {
    let error = SqliteStore::open("/dev/null/runs.sqlite")
        .await
        .expect_err("no folder");
    assert!(matches!(error, OpenError::Create { .. }), "{error:?}");
}

async fn open(folder: &TempDir) -> contract::Store {
    Arc::new(SqliteStore::open(path(folder)).await.expect("open"))
}

fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("data/runs.sqlite")
}

async fn execute(path: &std::path::Path, sql: &str) {
    use sqlx::Connection;
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut file = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("connect");
    let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    statements.execute(&mut file).await.expect("execute");
    file.close().await.expect("close");
}

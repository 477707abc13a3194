use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use pullwright::store::{OpenError, SqliteStore, StoreOptions};
use pullwright_core::store::{RunStore, StoreError};
use tempfile::TempDir;

use super::contract;
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
    let store: Arc<dyn RunStore> = Arc::new(store);
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
    let store: Arc<dyn RunStore> = Arc::new(store);
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
    set_version(&path(&folder), 99).await;
    let error = SqliteStore::open(path(&folder)).await.expect_err("too new");
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error() {
    let error = SqliteStore::open("/dev/null/runs.sqlite")
        .await
        .expect_err("no folder");
    assert!(matches!(error, OpenError::Create { .. }), "{error:?}");
}

async fn open(folder: &TempDir) -> Arc<dyn RunStore> {
    Arc::new(SqliteStore::open(path(folder)).await.expect("open"))
}

fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("data/runs.sqlite")
}

async fn set_version(path: &std::path::Path, version: i64) {
    use sqlx::Connection;
    let url = format!("sqlite://{}", path.display());
    let mut file = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("connect");
    let insert = sqlx::query("INSERT INTO schema_version (version) VALUES (?)").bind(version);
    insert.execute(&mut file).await.expect("insert");
    file.close().await.expect("close");
}

//! Retirement on a file: what a kill leaves at any moment, and the space that comes back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use pullwright::retention::Passed;
use pullwright::store::SqliteStore;
use pullwright_core::store::Retired;
use sqlx::Connection;
use tempfile::TempDir;

use super::contract::{self, Store};
use super::retention::{DAY_MS, ended, holds, record, retirement, tomorrow};
use crate::runs::command_line::Desk;
use crate::support::PATIENCE;

/// More events than a step removes.
const EVENTS: u64 = 600;

#[tokio::test]
async fn a_kill_between_the_archive_and_the_store_loses_and_doubles_nothing() {
    let folder = TempDir::new().expect("a folder");
    let (path, archive) = (file(&folder), folder.path().join("archive"));
    let store = open(&path).await;
    let (run, log) = ended(&store, "a", EVENTS).await;
    drop(store);
    let before = folder.path().join("before.sqlite");
    sql(&path, &format!("VACUUM INTO '{}'", before.display())).await;
    let again = async |name: &str| {
        let copy = folder.path().join(name);
        std::fs::copy(&before, &copy).expect("copy");
        open(&copy).await
    };
    let runs = BTreeMap::from([(run.clone(), log)]);
    let first = again("first").await;
    let passed = retirement(&first, Some(&archive)).pass(tomorrow()).await;
    assert_eq!(passed.expect("a pass").retired, 1);
    // How many steps the store took before the kill, once the archive was written.
    for steps in 0..=2 {
        let store = again(&format!("killed-{steps}")).await;
        for _ in 0..steps {
            assert!(store.retire(&run, Retired::Archived).await.expect("a step"));
        }
        let draft = archive.join(".pullwright-draft-dead");
        std::fs::write(draft, "half").expect("write");
        let passed = retirement(&store, Some(&archive)).pass(tomorrow()).await;
        assert_eq!(
            passed.expect("a pass"),
            Passed {
                retired: 1,
                kept: 0
            }
        );
        holds(&archive, &runs);
        assert!(contract::all(&store, &run).await.is_empty());
    }
}

#[tokio::test]
async fn a_run_whose_log_has_a_gap_stays() {
    let folder = TempDir::new().expect("a folder");
    let (path, archive) = (file(&folder), folder.path().join("archive"));
    let store = open(&path).await;
    let (broken, _) = ended(&store, "broken", 9).await;
    let (whole, log) = ended(&store, "whole", 9).await;
    sql(&path, "DELETE FROM events WHERE run = 'broken' AND seq = 4").await;
    let passed = retirement(&store, Some(&archive)).pass(tomorrow()).await;
    assert_eq!(
        passed.expect("a pass"),
        Passed {
            retired: 1,
            kept: 1
        }
    );
    assert_eq!(record(&store, &broken).await.retired, None);
    assert_eq!(contract::all(&store, &broken).await.len(), 8);
    std::fs::remove_file(archive.join("broken.patch.gz")).expect("its patch was first");
    holds(&archive, &BTreeMap::from([(whole, log)]));
}

#[tokio::test]
async fn the_file_becomes_smaller() {
    let folder = TempDir::new().expect("a folder");
    let path = file(&folder);
    let store = open(&path).await;
    let empty = pages(&path).await;
    for run in 0..20 {
        ended(&store, &format!("run-{run}"), EVENTS).await;
    }
    let before = pages(&path).await - empty;
    let passed = retirement(&store, None)
        .pass(tomorrow())
        .await
        .expect("a pass");
    assert_eq!(passed.retired, 20);
    let after = pages(&path).await - empty;
    assert!(after * 10 < before, "{before} pages before, {after} after");
}

/// The real server, killed again and again while it archives.
#[tokio::test]
async fn a_server_that_is_killed_at_any_moment_archives_each_run_once() {
    const RUNS: usize = 24;
    let keys = "keep_runs_days = 1\narchive_dir = \"archive\"";
    let desk = Desk::with_server_keys("replies = []", "", keys);
    let (path, archive) = (
        desk.path.join("data/runs.sqlite"),
        desk.path.join("archive"),
    );
    let store = open(&path).await;
    let mut runs = BTreeMap::new();
    for run in 0..RUNS {
        let (run, log) = ended(&store, &format!("run-{run:02}"), EVENTS).await;
        runs.insert(run, log);
    }
    drop(store);
    let age = format!(
        "UPDATE runs SET finished_at_ms = finished_at_ms - {}",
        2 * DAY_MS
    );
    sql(&path, &age).await;
    for kill_at in [1, 5, 11, 18] {
        let mut server = serve(&desk);
        until(async || archived(&archive) >= kill_at).await;
        server.kill().expect("kill");
        server.wait().expect("wait");
    }
    let mut server = serve(&desk);
    let store = open(&path).await;
    until(async || {
        store
            .due(u64::MAX >> 2, None, 1)
            .await
            .expect("due")
            .is_empty()
    })
    .await;
    server.kill().expect("kill");
    server.wait().expect("wait");
    holds(&archive, &runs);
}

fn serve(desk: &Desk) -> Child {
    let arguments = [
        "serve",
        "--config",
        "plugins.toml",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut server = desk
        .pullwright(&arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("start pullwright");
    let said = BufReader::new(server.stderr.take().expect("standard error"));
    let mut said = said.lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("listening")));
    std::thread::spawn(move || said.for_each(drop));
    server
}

fn archived(archive: &Path) -> usize {
    let entries = std::fs::read_dir(archive).into_iter().flatten().flatten();
    let whole = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".jsonl.gz");
    entries.filter(|entry| whole(&entry.file_name())).count()
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
    let waiting = async {
        while !is_so().await {
            looks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("it never becomes so");
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("runs.sqlite")
}

async fn open(path: &Path) -> Store {
    Arc::new(SqliteStore::open(path).await.expect("open"))
}

async fn connect(path: &Path) -> sqlx::SqliteConnection {
    let url = format!("sqlite://{}", path.display());
    sqlx::SqliteConnection::connect(&url)
        .await
        .expect("connect")
}

async fn sql(path: &Path, statement: &str) {
    let mut file = connect(path).await;
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
    statement.execute(&mut file).await.expect("SQL");
    file.close().await.expect("close");
}

async fn pages(path: &Path) -> i64 {
    let mut file = connect(path).await;
    let pages = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut file);
    let pages = pages.await.expect("SQL");
    file.close().await.expect("close");
    pages
}

//! Rows in a table, and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::Story;

/// The rows of a transaction, as many as the store takes into one of its own, and of a statement.
const BATCH: usize = 512;
const STATEMENT: usize = 128;

/// The table of the store.
const TABLE: &str = "CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, \
     at_ms INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID";

pub(super) struct Row {
    run: String,
    seq: i64,
    at_ms: i64,
    json: String,
}

/// All rows, in the order of time.
pub(super) fn rows(stories: &[Story]) -> Vec<Row> {
    let mut rows: Vec<Row> = stories.iter().flat_map(rows_of).collect();
    rows.sort_by_key(|row| row.at_ms);
    rows
}

fn rows_of(story: &Story) -> impl Iterator<Item = Row> {
    story.events.iter().map(|logged| Row {
        run: story.record.id.0.clone(),
        seq: logged.seq.cast_signed(),
        at_ms: logged.at_ms.cast_signed(),
        json: serde_json::to_string(&logged.event).unwrap(),
    })
}

/// As durable as the store: every transaction is on the disk before the next one begins.
pub(super) async fn insert(path: &Path, rows: &[Row]) -> Duration {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut database = options.connect().await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut database).await.unwrap();
    let begin = Instant::now();
    for batch in rows.chunks(BATCH) {
        insert_batch(&mut database, batch).await;
    }
    let took = begin.elapsed();
    database.close().await.unwrap();
    took
}

async fn insert_batch(database: &mut SqliteConnection, batch: &[Row]) {
    let mut change = database.begin().await.unwrap();
    for rows in batch.chunks(STATEMENT) {
        let values = vec!["(?, ?, ?, ?)"; rows.len()].join(", ");
        let sql = format!("INSERT INTO events (run, seq, at_ms, event) VALUES {values}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in rows {
            query = query
                .bind(&row.run)
                .bind(row.seq)
                .bind(row.at_ms)
                .bind(&row.json);
        }
        query.execute(&mut *change).await.unwrap();
    }
    change.commit().await.unwrap();
}

//! The tables, and how a file of an earlier version gets them.

use sqlx::{Connection, SqliteConnection};

/// One step per version; a released step is never changed, only followed.
const STEPS: &[&str] = &[
    "
    CREATE TABLE runs (
        id               TEXT PRIMARY KEY,
        request          TEXT NOT NULL,
        idempotency_key  TEXT UNIQUE,
        created_at_ms    INTEGER NOT NULL,
        finished_at_ms   INTEGER,
        outcome          TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        last_seq         INTEGER NOT NULL DEFAULT 0,
        epoch            INTEGER NOT NULL DEFAULT 0,
        worker           TEXT,
        leased_until_ms  INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX runs_by_age ON runs (created_at_ms, id);
    CREATE INDEX runs_alive ON runs (leased_until_ms) WHERE outcome IS NULL;
    CREATE TABLE events (
        run   TEXT NOT NULL,
        seq   INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE patches (
        run   TEXT PRIMARY KEY,
        patch BLOB NOT NULL
    ) STRICT;
",
    // A column's own UNIQUE is not to be had off it: the table is made anew.
    "
    CREATE TABLE owned_runs (
        id               TEXT PRIMARY KEY,
        request          TEXT NOT NULL,
        owner            TEXT,
        idempotency_key  TEXT,
        created_at_ms    INTEGER NOT NULL,
        finished_at_ms   INTEGER,
        outcome          TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        last_seq         INTEGER NOT NULL DEFAULT 0,
        epoch            INTEGER NOT NULL DEFAULT 0,
        worker           TEXT,
        leased_until_ms  INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO owned_runs (id, request, idempotency_key, created_at_ms, finished_at_ms, outcome,
        cancel_requested, last_seq, epoch, worker, leased_until_ms)
      SELECT id, request, idempotency_key, created_at_ms, finished_at_ms, outcome,
        cancel_requested, last_seq, epoch, worker, leased_until_ms FROM runs;
    DROP TABLE runs;
    ALTER TABLE owned_runs RENAME TO runs;
    CREATE INDEX runs_by_age ON runs (created_at_ms, id);
    CREATE INDEX runs_alive ON runs (leased_until_ms) WHERE outcome IS NULL;
    CREATE INDEX runs_by_owner ON runs (owner, created_at_ms, id) WHERE owner IS NOT NULL;
    CREATE UNIQUE INDEX runs_by_key ON runs (coalesce(owner, ''), idempotency_key)
        WHERE idempotency_key IS NOT NULL;
",
    include_str!("schema/access.sql"),
    "
    ALTER TABLE runs ADD COLUMN claimed_seq    INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN stalled_claims INTEGER NOT NULL DEFAULT 0;
",
    "
    CREATE TABLE messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run    TEXT NOT NULL,
        id     TEXT NOT NULL UNIQUE,
        text   TEXT NOT NULL,
        at_ms  INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_by_run ON messages (run, number);
",
    "
    ALTER TABLE runs ADD COLUMN retired TEXT;
    ALTER TABLE runs ADD COLUMN emptied INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX runs_kept ON runs (finished_at_ms, id) WHERE outcome IS NOT NULL AND emptied = 0;
",
    "
    CREATE INDEX runs_by_outcome ON runs (
        CASE WHEN substr(outcome, 1, 7) = 'failed(' THEN 'failed' ELSE coalesce(outcome, 'under way') END,
        created_at_ms, id, outcome);
    CREATE INDEX runs_by_owner_outcome ON runs (owner,
        CASE WHEN substr(outcome, 1, 7) = 'failed(' THEN 'failed' ELSE coalesce(outcome, 'under way') END,
        created_at_ms, id, outcome) WHERE owner IS NOT NULL;
    CREATE INDEX runs_by_repo ON runs (request ->> 'repoUrl', created_at_ms, id, outcome);
    CREATE INDEX runs_by_owner_repo ON runs (owner, request ->> 'repoUrl', created_at_ms, id, outcome)
        WHERE owner IS NOT NULL;
",
    "
    ALTER TABLE runs ADD COLUMN follows TEXT;
    CREATE UNIQUE INDEX runs_following ON runs (follows) WHERE follows IS NOT NULL;
",
    "
    ALTER TABLE runs ADD COLUMN sealed_token BLOB;
",
    "
    CREATE TABLE deliveries (
        id        TEXT PRIMARY KEY,
        digest    BLOB NOT NULL UNIQUE,
        asked     TEXT NOT NULL,
        at_ms     INTEGER NOT NULL,
        due_at_ms INTEGER NOT NULL,
        attempts  INTEGER NOT NULL DEFAULT 0,
        run       TEXT,
        outcome   TEXT
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries (due_at_ms) WHERE outcome IS NULL;
    CREATE INDEX deliveries_by_age ON deliveries (at_ms);
    CREATE UNIQUE INDEX deliveries_by_run ON deliveries (run) WHERE run IS NOT NULL;
    CREATE INDEX events_proposing ON events (event ->> 'url', at_ms)
        WHERE substr(event, 1, 30) = '{\"type\":\"pull_request_opened\",';
    CREATE INDEX events_pushing ON events (event ->> 'commit', at_ms)
        WHERE substr(event, 1, 24) = '{\"type\":\"branch_pushed\",';
",
];

/// The version that this code writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the file up to [`VERSION`] and answers the version it then has; a file of a later
/// version is left alone.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let mut change = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT")
        .execute(&mut *change)
        .await?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM schema_version")
        .fetch_one(&mut *change)
        .await?;
    if found > VERSION {
        change.rollback().await?;
        return Ok(found);
    }
    for (step, version) in STEPS.iter().copied().zip(1..).filter(|(_, v)| *v > found) {
        sqlx::raw_sql(step).execute(&mut *change).await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES (?)")
            .bind::<i64>(version)
            .execute(&mut *change)
            .await?;
    }
    change.commit().await?;
    Ok(VERSION)
}

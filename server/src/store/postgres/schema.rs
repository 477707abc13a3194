//! The tables, and how a database of an earlier version gets them.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::connection::{ANSWER_LIMIT, in_time, within};

/// Servers that start together take turns under this number ("pullwrig" in ASCII).
const LOCK: i64 = 0x7075_6c6c_7772_6967;

/// How long the steps to this version may take together: a new index is made of every row there is.
const UPGRADE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// One step per version; a released step is never changed, only followed.
///
/// The row of a run is written with each append. It stays in its page and touches no index as long as
/// there is room for its next version, and no indexed column changes while it runs.
const STEPS: &[&str] = &[
    "
    CREATE TABLE runs (
        id               text PRIMARY KEY,
        request          text NOT NULL,
        idempotency_key  text UNIQUE,
        created_at_ms    bigint NOT NULL,
        finished_at_ms   bigint,
        outcome          text,
        cancel_requested boolean NOT NULL DEFAULT false,
        last_seq         bigint NOT NULL DEFAULT 0,
        epoch            bigint NOT NULL DEFAULT 0,
        worker           text,
        leased_until_ms  bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50);
    CREATE INDEX runs_by_age ON runs (created_at_ms, id);
    CREATE INDEX runs_alive ON runs (created_at_ms) WHERE outcome IS NULL;
    CREATE TABLE events (
        run   text NOT NULL,
        seq   bigint NOT NULL,
        at_ms bigint NOT NULL,
        event text NOT NULL,
        PRIMARY KEY (run, seq)
    );
    CREATE TABLE patches (
        run   text PRIMARY KEY,
        patch bytea NOT NULL
    );
",
    "
    ALTER TABLE runs ADD COLUMN owner text;
    ALTER TABLE runs DROP CONSTRAINT runs_idempotency_key_key;
    CREATE UNIQUE INDEX runs_by_key ON runs (coalesce(owner, ''), idempotency_key)
        WHERE idempotency_key IS NOT NULL;
    CREATE INDEX runs_by_owner ON runs (owner, created_at_ms, id) WHERE owner IS NOT NULL;
",
    include_str!("schema/access.sql"),
    "    ALTER TABLE runs ADD COLUMN claimed_seq    bigint NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN stalled_claims bigint NOT NULL DEFAULT 0;
",
    "
    CREATE TABLE messages (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run    text NOT NULL,
        id     text NOT NULL UNIQUE,
        text   text NOT NULL,
        at_ms  bigint NOT NULL
    );
    CREATE INDEX messages_by_run ON messages (run, number);
",
    "
    ALTER TABLE runs ADD COLUMN retired text, ADD COLUMN emptied boolean NOT NULL DEFAULT false;
    CREATE INDEX runs_kept ON runs (finished_at_ms, id) WHERE outcome IS NOT NULL AND NOT emptied;
",
    // What a cast to JSON gives does not change, though Postgres does not say so of it. It refuses a text with
    // a NUL.
    "
    CREATE FUNCTION repo_url_of(request text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        AS $$ SELECT replace(request, '\\u0000', '\\uFFFD')::json ->> 'repoUrl' $$;
    CREATE INDEX runs_by_outcome ON runs (
        (CASE WHEN substr(outcome, 1, 7) = 'failed(' THEN 'failed' ELSE coalesce(outcome, 'under way') END),
        created_at_ms, id, outcome);
    CREATE INDEX runs_by_owner_outcome ON runs (owner,
        (CASE WHEN substr(outcome, 1, 7) = 'failed(' THEN 'failed' ELSE coalesce(outcome, 'under way') END),
        created_at_ms, id, outcome) WHERE owner IS NOT NULL;
    CREATE INDEX runs_by_repo ON runs (repo_url_of(request), created_at_ms, id, outcome);
    CREATE INDEX runs_by_owner_repo ON runs (owner, repo_url_of(request), created_at_ms, id, outcome)
        WHERE owner IS NOT NULL;
",
    "
    CREATE TABLE patch_parts (
        run    text NOT NULL,
        upload text NOT NULL,
        part   integer NOT NULL,
        bytes  bytea NOT NULL,
        PRIMARY KEY (run, upload, part)
    );
    ALTER TABLE patches ADD COLUMN upload text, ADD COLUMN parts integer;
",
    "
    ALTER TABLE runs ADD COLUMN follows text;
    CREATE UNIQUE INDEX runs_following ON runs (follows) WHERE follows IS NOT NULL;
",
    "
    ALTER TABLE runs ADD COLUMN sealed_token bytea;
",
    // As with the repository of a request: what it gives does not change.
    "
    CREATE TABLE deliveries (
        id        text PRIMARY KEY,
        digest    bytea NOT NULL UNIQUE,
        asked     text NOT NULL,
        at_ms     bigint NOT NULL,
        due_at_ms bigint NOT NULL,
        attempts  bigint NOT NULL DEFAULT 0,
        run       text,
        outcome   text
    );
    CREATE INDEX deliveries_due ON deliveries (due_at_ms) WHERE outcome IS NULL;
    CREATE INDEX deliveries_by_age ON deliveries (at_ms);
    CREATE UNIQUE INDEX deliveries_by_run ON deliveries (run) WHERE run IS NOT NULL;
    CREATE FUNCTION text_of_event(event text, field text) RETURNS text
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        AS $$ SELECT replace(event, '\\u0000', '\\uFFFD')::json ->> field $$;
    CREATE INDEX events_proposing ON events (text_of_event(event, 'url'), at_ms)
        WHERE left(event, 30) = '{\"type\":\"pull_request_opened\",';
    CREATE INDEX events_pushing ON events (text_of_event(event, 'commit'), at_ms)
        WHERE left(event, 24) = '{\"type\":\"branch_pushed\",';
",
];

/// The version that this code writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the database up to [`VERSION`] and answers the version it then has; one of a later version
/// is left alone.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let mut change = in_time(connection.begin()).await?;
    in_time(
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *change),
    )
    .await?;
    let found = in_time(version(&mut change)).await?;
    let limit = match found < VERSION {
        true => {
            within(UPGRADE_LIMIT, upgrade(&mut change, found)).await?;
            UPGRADE_LIMIT
        }
        false => ANSWER_LIMIT,
    };
    // Also when nothing changed: the lock must not wait for the connection's next use.
    within(limit, change.commit()).await?;
    Ok(found.max(VERSION))
}

/// The version of the tables; 0 where there are none.
pub(super) async fn version(change: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let known: bool = sqlx::query_scalar("SELECT to_regclass('schema_version') IS NOT NULL")
        .fetch_one(&mut *change)
        .await?;
    if !known {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM schema_version")
        .fetch_one(change)
        .await
}

/// A step takes as long as the tables are large. The limit on waiting for a lock stays: whoever holds a table
/// is at work on it.
async fn upgrade(change: &mut PgConnection, found: i64) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET LOCAL statement_timeout = 0")
        .execute(&mut *change)
        .await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS schema_version (version bigint PRIMARY KEY)")
        .execute(&mut *change)
        .await?;
    for (step, version) in STEPS.iter().copied().zip(1..).filter(|(_, v)| *v > found) {
        sqlx::raw_sql(step).execute(&mut *change).await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind::<i64>(version)
            .execute(&mut *change)
            .await?;
    }
    Ok(())
}

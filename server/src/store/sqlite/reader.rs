//! The store's reading side.

use std::time::Duration;

use futures_util::TryStreamExt;
use pullwright_core::log::now_ms;
use pullwright_core::store::{RunFilter, RunPlace, RunRecord, StoreError};
use pullwright_protocol::{LoggedEvent, RunId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::store::failure::failed;
use crate::store::lease_row::LeaseRow;
use crate::store::page::{Dialect, PageQuestion};
use crate::store::retention::place;

/// How many reads run at the same time.
const READERS: u32 = 4;

/// How long a read waits for a free connection, before it fails instead of hanging.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// A page of events ends once it has this many bytes: keeps a reader of large events from
/// outgrowing memory.
const PAGE_BYTES: usize = 1 << 20;

const RECORD: &str = "SELECT id, request, owner, created_at_ms, finished_at_ms, outcome, \
     cancel_requested, last_seq, stalled_claims, retired, worker, epoch, leased_until_ms FROM runs WHERE id = ?";
const PAGE: Dialect = Dialect {
    repo_url: "request ->> 'repoUrl'",
    names_index: true,
};
const EVENTS: &str =
    "SELECT seq, at_ms, event FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?";
const DUE: &str = "SELECT id, request, owner, created_at_ms, finished_at_ms, outcome, \
     cancel_requested, last_seq, stalled_claims, retired, worker, epoch, leased_until_ms FROM runs \
     WHERE outcome IS NOT NULL AND emptied = 0 AND finished_at_ms < ? AND (finished_at_ms, id) > (?, ?) \
     ORDER BY finished_at_ms, id LIMIT ?";
const ORPHANS: &str = "SELECT id FROM runs WHERE outcome IS NULL AND leased_until_ms <= ? \
     ORDER BY created_at_ms";

#[derive(Debug)]
pub(super) struct Reader {
    pool: SqlitePool,
}

impl Reader {
    pub(super) fn open(options: SqliteConnectOptions) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(CONNECTION_WAIT)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Self { pool }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) async fn events(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let mut rows = sqlx::query(EVENTS)
            .bind(&run.0)
            .bind(after.cast_signed().max(0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch(&self.pool);
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await.map_err(failed("reading events"))? {
            let json: &str = row.try_get(2).map_err(failed("reading events"))?;
            bytes += json.len();
            page.push(logged(&row, json).map_err(failed("reading events"))?);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    pub(super) async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar("SELECT patch FROM patches WHERE run = ?")
            .bind(&run.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("reading a patch"))
    }

    pub(super) async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let record: Option<Record> = sqlx::query_as(RECORD)
            .bind(&run.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("reading a run"))?;
        Ok(record.map(|record| record.0))
    }

    pub(super) async fn page(
        &self,
        filter: &RunFilter,
        after: Option<&RunPlace>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let Some(question) = PageQuestion::of(filter, &PAGE) else {
            return Ok(Vec::new());
        };
        let mut page = sqlx::query_as(AssertSqlSafe(question.text))
            .bind(after.map_or(i64::MAX, |place| place.created_at_ms.cast_signed()))
            .bind(after.map_or("", |place| &place.id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        for word in question.words {
            page = page.bind(word);
        }
        let records: Vec<Record> = page
            .fetch_all(&self.pool)
            .await
            .map_err(failed("listing runs"))?;
        Ok(records.into_iter().map(|record| record.0).collect())
    }

    pub(super) async fn due(
        &self,
        ended_before_ms: u64,
        after: Option<&RunRecord>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let (after_ms, after_id) = place(after);
        let records: Vec<Record> = sqlx::query_as(DUE)
            .bind(ended_before_ms.cast_signed())
            .bind(after_ms)
            .bind(after_id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("looking for runs that ended long ago"))?;
        Ok(records.into_iter().map(|record| record.0).collect())
    }

    pub(super) async fn orphans(&self) -> Result<Vec<RunId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(ORPHANS)
            .bind(now_ms().cast_signed())
            .fetch_all(&self.pool)
            .await
            .map_err(failed("looking for orphaned runs"))?;
        Ok(ids.into_iter().map(RunId).collect())
    }
}

fn logged(row: &SqliteRow, json: &str) -> Result<LoggedEvent, sqlx::Error> {
    Ok(LoggedEvent {
        seq: row.try_get::<i64, _>(0)?.cast_unsigned(),
        at_ms: row.try_get::<i64, _>(1)?.cast_unsigned(),
        event: serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

struct Record(RunRecord);

impl FromRow<'_, SqliteRow> for Record {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let undecodable = |error: String| sqlx::Error::Decode(error.into());
        let request: &str = row.try_get("request")?;
        let outcome: Option<&str> = row.try_get("outcome")?;
        let retired: Option<&str> = row.try_get("retired")?;
        let finished: Option<i64> = row.try_get("finished_at_ms")?;
        Ok(Self(RunRecord {
            id: RunId(row.try_get("id")?),
            request: serde_json::from_str(request).map_err(|e| undecodable(e.to_string()))?,
            owner: row.try_get("owner")?,
            created_at_ms: row.try_get::<i64, _>("created_at_ms")?.cast_unsigned(),
            finished_at_ms: finished.map(i64::cast_unsigned),
            outcome: outcome.map(str::parse).transpose().map_err(undecodable)?,
            cancel_requested: row.try_get("cancel_requested")?,
            last_seq: row.try_get::<i64, _>("last_seq")?.cast_unsigned(),
            stalled_claims: row.try_get::<i64, _>("stalled_claims")?.cast_unsigned(),
            parked_until_ms: lease_of(row)?.parked_until_ms(outcome.is_none()),
            retired: retired.map(str::parse).transpose().map_err(undecodable)?,
        }))
    }
}

fn lease_of(row: &SqliteRow) -> Result<LeaseRow, sqlx::Error> {
    Ok(LeaseRow {
        has_worker: row.try_get::<Option<&str>, _>("worker")?.is_some(),
        epoch: row.try_get("epoch")?,
        until_ms: row.try_get("leased_until_ms")?,
    })
}

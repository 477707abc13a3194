//! The store's reading side.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::store::{RunFilter, RunPlace, RunRecord, StoreError, StoreFailure};
use pullwright_protocol::{LoggedEvent, RunId};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, FromRow, Postgres, Row};
use tokio::time::Instant;

use super::PostgresAddress;
use super::connection::{Connections, in_time};
use super::grace::Grace;
use crate::store::failure::{failed, failure};
use crate::store::lease_row::LeaseRow;
use crate::store::page::{Dialect, PageQuestion};
use crate::store::retention::place;

/// How long a read waits for a database that is away, before it fails: shorter than a write, since
/// somebody looks at an empty page meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A page of events ends once it has a mebibyte: keeps a reader of large events from outgrowing
/// memory. The length of a text is known without reading it.
const EVENTS: &str = "SELECT seq, at_ms, event FROM (\
       SELECT seq, at_ms, event, \
         sum(octet_length(event)) OVER (ORDER BY seq) - octet_length(event) AS bytes_before \
       FROM (SELECT seq, at_ms, event FROM events WHERE run = $1 AND seq > $2 \
         ORDER BY seq LIMIT $3) AS page) AS counted \
     WHERE bytes_before < 1048576 ORDER BY seq";

const RECORD: &str = "SELECT id, request, owner, created_at_ms, finished_at_ms, outcome, \
     cancel_requested, last_seq, stalled_claims, retired, worker, epoch, leased_until_ms FROM runs WHERE id = $1";
const PAGE: Dialect = Dialect {
    repo_url: "repo_url_of(request)",
    names_index: false,
};
const DUE: &str = "SELECT id, request, owner, created_at_ms, finished_at_ms, outcome, \
     cancel_requested, last_seq, stalled_claims, retired, worker, epoch, leased_until_ms FROM runs \
     WHERE outcome IS NOT NULL AND NOT emptied AND finished_at_ms < $1 AND (finished_at_ms, id) > ($2, $3) \
     ORDER BY finished_at_ms, id LIMIT $4";
/// A run that somebody is writing at the moment has an owner, or is about to get one.
const ORPHANS: &str = "SELECT id FROM runs WHERE outcome IS NULL \
       AND leased_until_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
     ORDER BY created_at_ms FOR NO KEY UPDATE SKIP LOCKED";

pub(super) type Question<'q> = Query<'q, Postgres, PgArguments>;

#[derive(Debug)]
pub(super) struct Reader {
    connections: Connections,
    grace: Arc<Grace>,
}

impl Reader {
    pub(super) fn new(address: PostgresAddress, grace: Arc<Grace>) -> Self {
        Self {
            connections: Connections::new(address),
            grace,
        }
    }

    pub(super) async fn events(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let question = || {
            sqlx::query(EVENTS)
                .bind(&run.0)
                .bind(after.cast_signed().max(0))
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        };
        self.ask("reading events", question, logged).await
    }

    pub(super) async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let question = || sqlx::query(RECORD).bind(&run.0);
        Ok(self.ask("reading a run", question, record).await?.pop())
    }

    pub(super) async fn page(
        &self,
        filter: &RunFilter,
        after: Option<&RunPlace>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let Some(PageQuestion { text, words }) = PageQuestion::of(filter, &PAGE) else {
            return Ok(Vec::new());
        };
        let question = || {
            let question = sqlx::query(AssertSqlSafe(text.clone()))
                .bind(after.map_or(i64::MAX, |place| place.created_at_ms.cast_signed()))
                .bind(after.map_or("", |place| &place.id.0))
                .bind(i64::try_from(limit).unwrap_or(i64::MAX));
            words
                .iter()
                .fold(question, |question, word| question.bind(word))
        };
        self.ask("listing runs", question, record).await
    }

    pub(super) async fn due(
        &self,
        ended_before_ms: u64,
        after: Option<&RunRecord>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let (after_ms, after_id) = place(after);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let question = || {
            sqlx::query(DUE)
                .bind(ended_before_ms.cast_signed())
                .bind(after_ms)
                .bind(after_id)
                .bind(limit)
        };
        let what = "looking for runs that ended long ago";
        self.ask(what, question, record).await
    }

    pub(super) async fn orphans(&self) -> Result<Vec<RunId>, StoreError> {
        let question = || sqlx::query(ORPHANS);
        let id = |row: &PgRow| row.try_get(0).map(RunId);
        let found = self.ask("looking for orphaned runs", question, id).await?;
        Ok(if self.grace.is_over() {
            found
        } else {
            Vec::new()
        })
    }

    /// Asks until there is an answer: asking again does no harm.
    pub(super) async fn ask<'q, T>(
        &self,
        what: &'static str,
        question: impl Fn() -> Question<'q>,
        read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        self.ask_for(PATIENCE, what, question, read).await
    }

    /// The same, for so long while the database is away.
    pub(super) async fn ask_for<'q, T>(
        &self,
        patience: Duration,
        what: &'static str,
        question: impl Fn() -> Question<'q>,
        read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let begin = Instant::now();
        loop {
            let error = match in_time(self.ask_once(question())).await {
                Ok(rows) => {
                    return rows
                        .iter()
                        .map(read)
                        .collect::<Result<_, _>>()
                        .map_err(failed(what));
                }
                Err(error) => error,
            };
            let may_pass = failure(&error) == StoreFailure::Unreachable;
            if !may_pass || begin.elapsed() > patience {
                return Err(failed(what)(error));
            }
            self.connections.close_idle();
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    async fn ask_once(&self, question: Question<'_>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut lent = self.connections.lend().await?;
        let rows = question.fetch_all(&mut lent.connection).await?;
        lent.give_back();
        Ok(rows)
    }
}

fn logged(row: &PgRow) -> Result<LoggedEvent, sqlx::Error> {
    let json: &str = row.try_get(2)?;
    Ok(LoggedEvent {
        seq: row.try_get::<i64, _>(0)?.cast_unsigned(),
        at_ms: row.try_get::<i64, _>(1)?.cast_unsigned(),
        event: serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

fn record(row: &PgRow) -> Result<RunRecord, sqlx::Error> {
    let undecodable = |error: String| sqlx::Error::Decode(error.into());
    let (
        id,
        request,
        owner,
        created,
        finished,
        outcome,
        cancel_requested,
        last_seq,
        stalled_claims,
        retired,
        worker,
        epoch,
        until_ms,
    ) = <(
        String,
        &str,
        Option<String>,
        i64,
        Option<i64>,
        Option<&str>,
        bool,
        i64,
        i64,
        Option<&str>,
        Option<&str>,
        i64,
        i64,
    )>::from_row(row)?;
    let lease = LeaseRow {
        has_worker: worker.is_some(),
        epoch,
        until_ms,
    };
    Ok(RunRecord {
        id: RunId(id),
        request: serde_json::from_str(request).map_err(|error| undecodable(error.to_string()))?,
        owner,
        created_at_ms: created.cast_unsigned(),
        finished_at_ms: finished.map(i64::cast_unsigned),
        outcome: outcome.map(str::parse).transpose().map_err(undecodable)?,
        cancel_requested,
        last_seq: last_seq.cast_unsigned(),
        stalled_claims: stalled_claims.cast_unsigned(),
        parked_until_ms: lease.parked_until_ms(outcome.is_none()),
        retired: retired.map(str::parse).transpose().map_err(undecodable)?,
    })
}

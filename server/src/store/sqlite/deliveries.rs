//! Deliveries of webhooks. They are rare, and written beside the runs' own writer.

use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::log::now_ms;
use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, query::Query};

use super::SqliteStore;
use crate::store::delivery_rows::{DeliveryRow, in_order, is_taken, millis};
use crate::store::failure::failed;
use crate::webhooks::{Delivery, DeliveryStore, GIVEN_UP, NewDelivery, Phase};

const ACCEPT: &str = "INSERT INTO deliveries (id, digest, asked, at_ms, due_at_ms) \
     VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING";
const REOPEN: &str = "UPDATE deliveries SET outcome = NULL, attempts = 0, due_at_ms = 0, at_ms = ? \
     WHERE digest = ? AND instr(outcome, ?) = 1";
const IS_DUE: &str = "SELECT EXISTS (SELECT 1 FROM deliveries \
     WHERE outcome IS NULL AND due_at_ms <= ? AND (run IS NOT NULL) = ?)";
const TAKE: &str = "UPDATE deliveries SET due_at_ms = ?, attempts = attempts + 1 WHERE id IN (\
       SELECT id FROM deliveries WHERE outcome IS NULL AND due_at_ms <= ? AND (run IS NOT NULL) = ? \
       ORDER BY due_at_ms, at_ms LIMIT ?) \
     RETURNING at_ms, id, digest, asked, run, attempts";
const PUT_OFF: &str = "UPDATE deliveries SET due_at_ms = ? WHERE id = ? AND outcome IS NULL";
const PUT_OFF_UNCOUNTED: &str =
    "UPDATE deliveries SET due_at_ms = ?, attempts = ? WHERE id = ? AND outcome IS NULL";
const STARTED: &str = "UPDATE deliveries SET run = ?1, attempts = 0, due_at_ms = 0 \
     WHERE id = ?2 AND outcome IS NULL \
       AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run = ?1 AND id != ?2)";
const SETTLE: &str = "UPDATE deliveries SET outcome = ? WHERE id = ? AND outcome IS NULL";
const FORGET: &str = "DELETE FROM deliveries WHERE outcome IS NOT NULL AND at_ms < ?";
const PROPOSED_BY: &str = "SELECT run FROM events \
     WHERE substr(event, 1, 30) = '{\"type\":\"pull_request_opened\",' AND event ->> 'url' = ? \
     ORDER BY at_ms DESC LIMIT 1";
const PUSHED_BY: &str = "SELECT run FROM events \
     WHERE substr(event, 1, 24) = '{\"type\":\"branch_pushed\",' AND event ->> 'commit' = ? \
     ORDER BY at_ms DESC LIMIT 1";

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn accept(&self, new: &NewDelivery) -> Result<bool, StoreError> {
        let accept = sqlx::query(ACCEPT)
            .bind(&new.id)
            .bind(new.digest.as_slice())
            .bind(&new.asked)
            .bind(new.at_ms.cast_signed());
        if self.change("keeping a delivery", accept).await? > 0 {
            return Ok(true);
        }
        let reopen = sqlx::query(REOPEN)
            .bind(new.at_ms.cast_signed())
            .bind(new.digest.as_slice())
            .bind(GIVEN_UP);
        Ok(self.change("reopening a delivery", reopen).await? > 0)
    }

    async fn take_due(
        &self,
        phase: Phase,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let what = "taking deliveries";
        let now = now_ms().cast_signed();
        let tells = phase == Phase::Tell;
        let is_due = sqlx::query_scalar(IS_DUE).bind(now).bind(tells);
        let is_due: bool = is_due
            .fetch_one(self.reader.pool())
            .await
            .map_err(failed(what))?;
        if !is_due {
            return Ok(Vec::new());
        }
        let taken: Result<Vec<DeliveryRow>, _> = sqlx::query_as(TAKE)
            .bind(now.saturating_add(millis(lease)))
            .bind(now)
            .bind(tells)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.access)
            .await;
        taken.map(in_order).map_err(failed(what))
    }

    async fn put_off(&self, id: &str, wait: Duration) -> Result<(), StoreError> {
        let due = now_ms().cast_signed().saturating_add(millis(wait));
        let put_off = sqlx::query(PUT_OFF).bind(due).bind(id);
        self.change("putting off a delivery", put_off)
            .await
            .map(drop)
    }

    async fn put_off_uncounted(
        &self,
        delivery: &Delivery,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let due = now_ms().cast_signed().saturating_add(millis(wait));
        let put_off = sqlx::query(PUT_OFF_UNCOUNTED)
            .bind(due)
            .bind(delivery.attempts.saturating_sub(1).cast_signed())
            .bind(&delivery.id);
        self.change("putting off a delivery", put_off)
            .await
            .map(drop)
    }

    async fn started(&self, id: &str, run: &RunId) -> Result<bool, StoreError> {
        let started = sqlx::query(STARTED).bind(&run.0).bind(id);
        match self.change("noting the run of a delivery", started).await {
            Ok(changed) => Ok(changed > 0),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn settle(&self, id: &str, outcome: &str) -> Result<(), StoreError> {
        let settle = sqlx::query(SETTLE).bind(outcome).bind(id);
        self.change("settling a delivery", settle).await.map(drop)
    }

    async fn forget_deliveries(&self, before_ms: u64) -> Result<(), StoreError> {
        let forget = sqlx::query(FORGET).bind(before_ms.cast_signed());
        self.change("forgetting deliveries", forget).await.map(drop)
    }

    async fn proposed_by(&self, page: &str) -> Result<Option<RunId>, StoreError> {
        self.run_of(PROPOSED_BY, page).await
    }

    async fn pushed_by(&self, commit: &str) -> Result<Option<RunId>, StoreError> {
        self.run_of(PUSHED_BY, commit).await
    }
}

impl SqliteStore {
    async fn change(
        &self,
        what: &'static str,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, StoreError> {
        let changed = statement.execute(&self.access).await;
        Ok(changed.map_err(failed(what))?.rows_affected())
    }

    async fn run_of(&self, question: &'static str, of: &str) -> Result<Option<RunId>, StoreError> {
        let run: Result<Option<String>, _> = sqlx::query_scalar(question)
            .bind(of)
            .fetch_optional(self.reader.pool())
            .await;
        Ok(run
            .map_err(failed("looking for a change's run"))?
            .map(RunId))
    }
}

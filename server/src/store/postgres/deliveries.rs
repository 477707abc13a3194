//! Deliveries of webhooks. They go by the reader's connections; each statement may be carried out again after
//! a failure.

use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::PostgresStore;
use super::reader::Question;
use crate::store::delivery_rows::{DeliveryRow, in_order, is_taken, millis};
use crate::webhooks::{Delivery, DeliveryStore, GIVEN_UP, NewDelivery, Phase};

const ACCEPT: &str = "INSERT INTO deliveries (id, digest, asked, at_ms, due_at_ms) \
     VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING RETURNING id";
const REOPEN: &str = "UPDATE deliveries SET outcome = NULL, attempts = 0, due_at_ms = 0, at_ms = $1 \
     WHERE digest = $2 AND starts_with(outcome, $3) RETURNING id";
const TAKE: &str = "UPDATE deliveries \
     SET due_at_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1, attempts = attempts + 1 \
     WHERE id IN (SELECT id FROM deliveries WHERE outcome IS NULL \
       AND due_at_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint AND (run IS NOT NULL) = $2 \
       ORDER BY due_at_ms, at_ms LIMIT $3 FOR UPDATE SKIP LOCKED) \
     RETURNING at_ms, id, digest, asked, run, attempts";
const PUT_OFF: &str = "UPDATE deliveries \
     SET due_at_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1 \
     WHERE id = $2 AND outcome IS NULL";
const PUT_OFF_UNCOUNTED: &str = "UPDATE deliveries \
     SET due_at_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $1, attempts = $2 \
     WHERE id = $3 AND outcome IS NULL";
const STARTED: &str = "UPDATE deliveries SET run = $1, attempts = 0, due_at_ms = 0 \
     WHERE id = $2 AND outcome IS NULL \
       AND NOT EXISTS (SELECT 1 FROM deliveries WHERE run = $1 AND id != $2) RETURNING id";
const SETTLE: &str = "UPDATE deliveries SET outcome = $1 WHERE id = $2 AND outcome IS NULL";
const FORGET: &str = "DELETE FROM deliveries WHERE outcome IS NOT NULL AND at_ms < $1";
const PROPOSED_BY: &str = "SELECT run FROM events \
     WHERE left(event, 30) = '{\"type\":\"pull_request_opened\",' AND text_of_event(event, 'url') = $1 \
     ORDER BY at_ms DESC LIMIT 1";
const PUSHED_BY: &str = "SELECT run FROM events \
     WHERE left(event, 24) = '{\"type\":\"branch_pushed\",' AND text_of_event(event, 'commit') = $1 \
     ORDER BY at_ms DESC LIMIT 1";

#[async_trait]
impl DeliveryStore for PostgresStore {
    async fn accept(&self, new: &NewDelivery) -> Result<bool, StoreError> {
        let question = || {
            sqlx::query(ACCEPT)
                .bind(&new.id)
                .bind(new.digest.as_slice())
                .bind(&new.asked)
                .bind(new.at_ms.cast_signed())
        };
        let kept = self.reader.ask("keeping a delivery", question, nothing);
        if !kept.await?.is_empty() {
            return Ok(true);
        }
        let question = || {
            sqlx::query(REOPEN)
                .bind(new.at_ms.cast_signed())
                .bind(new.digest.as_slice())
                .bind(GIVEN_UP)
        };
        let reopened = self.reader.ask("reopening a delivery", question, nothing);
        Ok(!reopened.await?.is_empty())
    }

    async fn take_due(
        &self,
        phase: Phase,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let question = || {
            sqlx::query(TAKE)
                .bind(millis(lease))
                .bind(phase == Phase::Tell)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        };
        let taken = |row: &PgRow| DeliveryRow::from_row(row);
        let taken = self.reader.ask("taking deliveries", question, taken);
        Ok(in_order(taken.await?))
    }

    async fn put_off(&self, id: &str, wait: Duration) -> Result<(), StoreError> {
        let question = || sqlx::query(PUT_OFF).bind(millis(wait)).bind(id);
        self.change("putting off a delivery", question).await
    }

    async fn put_off_uncounted(
        &self,
        delivery: &Delivery,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let question = || {
            sqlx::query(PUT_OFF_UNCOUNTED)
                .bind(millis(wait))
                .bind(delivery.attempts.saturating_sub(1).cast_signed())
                .bind(&delivery.id)
        };
        self.change("putting off a delivery", question).await
    }

    async fn started(&self, id: &str, run: &RunId) -> Result<bool, StoreError> {
        let question = || sqlx::query(STARTED).bind(&run.0).bind(id);
        let what = "noting the run of a delivery";
        match self.reader.ask(what, question, nothing).await {
            Ok(changed) => Ok(!changed.is_empty()),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn settle(&self, id: &str, outcome: &str) -> Result<(), StoreError> {
        let question = || sqlx::query(SETTLE).bind(outcome).bind(id);
        self.change("settling a delivery", question).await
    }

    async fn forget_deliveries(&self, before_ms: u64) -> Result<(), StoreError> {
        let question = || sqlx::query(FORGET).bind(before_ms.cast_signed());
        self.change("forgetting deliveries", question).await
    }

    async fn proposed_by(&self, page: &str) -> Result<Option<RunId>, StoreError> {
        self.run_of(PROPOSED_BY, page).await
    }

    async fn pushed_by(&self, commit: &str) -> Result<Option<RunId>, StoreError> {
        self.run_of(PUSHED_BY, commit).await
    }
}

impl PostgresStore {
    async fn change<'q>(
        &self,
        what: &'static str,
        question: impl Fn() -> Question<'q>,
    ) -> Result<(), StoreError> {
        self.reader.ask(what, question, nothing).await.map(drop)
    }

    async fn run_of(&self, question: &'static str, of: &str) -> Result<Option<RunId>, StoreError> {
        let asked = || sqlx::query(question).bind(of);
        let run = |row: &PgRow| row.try_get(0).map(RunId);
        let found = self.reader.ask("looking for a change's run", asked, run);
        Ok(found.await?.pop())
    }
}

fn nothing(_: &PgRow) -> Result<(), sqlx::Error> {
    Ok(())
}

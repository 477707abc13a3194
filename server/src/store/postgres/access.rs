//! Keys and the record of what was done, in the same database as the runs.
//!
//! They go by the reader's connections. Each statement may be carried out again after a failure, so that an
//! answer that was lost does no harm.

use async_trait::async_trait;
use pullwright_core::store::StoreError;
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use crate::access::{AccessStore, AuditEntry, Audited, Key, KeyMade, NewKey, StoredKey};
use crate::store::access_rows::{AuditRow, KeyRow, audited, stored_key};
use crate::store::failure::refused;

/// A key that is there already is the same one, whose answer was lost.
const CREATE: &str = "WITH made AS (\
       INSERT INTO api_keys (id, name, digest, grants, created_at_ms, expires_at_ms) \
       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id) \
     SELECT EXISTS (SELECT 1 FROM made) \
       OR EXISTS (SELECT 1 FROM api_keys WHERE id = $1 AND digest = $3)";
const KEY: &str = "SELECT id, name, digest, grants, created_at_ms, expires_at_ms, revoked_at_ms, \
     last_used_at_ms FROM api_keys WHERE id = $1";
const KEYS: &str = "SELECT id, name, digest, grants, created_at_ms, expires_at_ms, revoked_at_ms, \
     last_used_at_ms FROM api_keys ORDER BY created_at_ms, id";
const REVOKE: &str = "UPDATE api_keys SET revoked_at_ms = $1 \
     WHERE name = $2 AND (revoked_at_ms IS NULL OR revoked_at_ms = $1) RETURNING id";
const HAS_KEYS: &str = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE revoked_at_ms IS NULL)";
const NOTE_USE: &str = "UPDATE api_keys SET last_used_at_ms = greatest(last_used_at_ms, $1) \
     WHERE id = $2";
const RECORD: &str = "INSERT INTO audit (id, at_ms, actor, address, action, target, repository, \
       outcome, detail, count) \
     SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], \
       $7::text[], $8::text[], $9::text[], $10::bigint[]) \
     ON CONFLICT DO NOTHING";
const RECORDED: &str = "SELECT seq, id, at_ms, actor, address, action, target, repository, outcome, \
     detail, count FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";

#[async_trait]
impl AccessStore for PostgresStore {
    async fn create_key(&self, new: &NewKey) -> Result<KeyMade, StoreError> {
        let what = "making an API key";
        let grants = serde_json::to_string(&new.grant).map_err(refused(what))?;
        let question = || {
            sqlx::query(CREATE)
                .bind(new.digest.id())
                .bind(new.name.as_str())
                .bind(new.digest.as_bytes().as_slice())
                .bind(&grants)
                .bind(new.created_at_ms.cast_signed())
                .bind(new.expires_at_ms.map(u64::cast_signed))
        };
        let made = self.reader.ask(what, question, truth).await?;
        Ok(match made.contains(&true) {
            true => KeyMade::Yes,
            false => KeyMade::NameTaken,
        })
    }

    async fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let question = || sqlx::query(KEY).bind(id);
        let found = self.reader.ask("looking for an API key", question, key);
        Ok(found.await?.pop())
    }

    async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        let question = || sqlx::query(KEYS);
        let keys = self.reader.ask("listing the API keys", question, key);
        Ok(keys.await?.into_iter().map(|stored| stored.key).collect())
    }

    async fn revoke_key(&self, name: &str, at_ms: u64) -> Result<bool, StoreError> {
        let question = || sqlx::query(REVOKE).bind(at_ms.cast_signed()).bind(name);
        let revoked = self.reader.ask("revoking an API key", question, nothing);
        Ok(!revoked.await?.is_empty())
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        let question = || sqlx::query(HAS_KEYS);
        let found = self.reader.ask("looking for API keys", question, truth);
        Ok(found.await?.contains(&true))
    }

    async fn note_use(&self, id: &str, at_ms: u64) -> Result<(), StoreError> {
        let question = || sqlx::query(NOTE_USE).bind(at_ms.cast_signed()).bind(id);
        let noted = self
            .reader
            .ask("noting the use of a key", question, nothing);
        noted.await.map(drop)
    }

    async fn record(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let question = || {
            sqlx::query(RECORD)
                .bind(column(entries, |entry| entry.id.as_str()))
                .bind(column(entries, |entry| entry.at_ms.cast_signed()))
                .bind(column(entries, |entry| entry.actor.as_deref()))
                .bind(column(entries, |entry| entry.address.as_deref()))
                .bind(column(entries, |entry| entry.action.as_str()))
                .bind(column(entries, |entry| entry.target.as_deref()))
                .bind(column(entries, |entry| entry.repository.as_deref()))
                .bind(column(entries, |entry| entry.outcome.as_str()))
                .bind(column(entries, |entry| entry.detail.as_deref()))
                .bind(column(entries, |entry| entry.count.cast_signed()))
        };
        let recorded = self
            .reader
            .ask("writing down what was done", question, nothing);
        recorded.await.map(drop)
    }

    async fn recorded(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Audited>, StoreError> {
        let before = before.map_or(i64::MAX, u64::cast_signed);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let question = || sqlx::query(RECORDED).bind(before).bind(limit);
        let entry = |row: &PgRow| audited(AuditRow::from_row(row)?);
        self.reader
            .ask("reading what was done", question, entry)
            .await
    }
}

fn column<'e, T>(entries: &'e [AuditEntry], of: impl Fn(&'e AuditEntry) -> T) -> Vec<T> {
    entries.iter().map(of).collect()
}

fn key(row: &PgRow) -> Result<StoredKey, sqlx::Error> {
    stored_key(KeyRow::from_row(row)?)
}

fn truth(row: &PgRow) -> Result<bool, sqlx::Error> {
    sqlx::Row::try_get(row, 0)
}

fn nothing(_: &PgRow) -> Result<(), sqlx::Error> {
    Ok(())
}

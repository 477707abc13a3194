//! Keys and the record of what was done, in the same file as the runs.
//!
//! They have a connection of their own to write: these writes are rare, and must not wait for a group of
//! events that is being gathered.

use async_trait::async_trait;
use pullwright_core::store::StoreError;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::SqliteStore;
use crate::access::{AccessStore, AuditEntry, Audited, Key, KeyMade, NewKey, StoredKey};
use crate::store::access_rows::{AuditRow, KeyRow, audited, stored_key};
use crate::store::failure::{failed, refused};

const CREATE: &str = "INSERT INTO api_keys (id, name, digest, grants, created_at_ms, expires_at_ms) \
     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
const KEY: &str = "SELECT id, name, digest, grants, created_at_ms, expires_at_ms, revoked_at_ms, \
     last_used_at_ms FROM api_keys WHERE id = ?";
const KEYS: &str = "SELECT id, name, digest, grants, created_at_ms, expires_at_ms, revoked_at_ms, \
     last_used_at_ms FROM api_keys ORDER BY created_at_ms, id";
const REVOKE: &str =
    "UPDATE api_keys SET revoked_at_ms = ? WHERE name = ? AND revoked_at_ms IS NULL";
const HAS_KEYS: &str = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE revoked_at_ms IS NULL)";
const NOTE_USE: &str = "UPDATE api_keys SET last_used_at_ms = ? WHERE id = ?";
const RECORD: &str = "INSERT INTO audit (id, at_ms, actor, address, action, target, repository, \
       outcome, detail, count) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
const RECORDED: &str = "SELECT seq, id, at_ms, actor, address, action, target, repository, outcome, \
     detail, count FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?";

/// One connection, opened when it is first needed.
pub(super) fn writing(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

#[async_trait]
impl AccessStore for SqliteStore {
    async fn create_key(&self, new: &NewKey) -> Result<KeyMade, StoreError> {
        let what = "making an API key";
        let grants = serde_json::to_string(&new.grant).map_err(refused(what))?;
        let made = sqlx::query(CREATE)
            .bind(new.digest.id())
            .bind(new.name.as_str())
            .bind(new.digest.as_bytes().as_slice())
            .bind(grants)
            .bind(new.created_at_ms.cast_signed())
            .bind(new.expires_at_ms.map(u64::cast_signed))
            .execute(&self.access)
            .await
            .map_err(failed(what))?;
        Ok(match made.rows_affected() {
            0 => KeyMade::NameTaken,
            _ => KeyMade::Yes,
        })
    }

    async fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let row: Result<Option<KeyRow>, _> = sqlx::query_as(KEY)
            .bind(id)
            .fetch_optional(self.reader.pool())
            .await;
        let key = row.and_then(|row| row.map(stored_key).transpose());
        key.map_err(failed("looking for an API key"))
    }

    async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        let rows: Result<Vec<KeyRow>, _> = sqlx::query_as(KEYS).fetch_all(self.reader.pool()).await;
        let key = |row| stored_key(row).map(|stored| stored.key);
        let keys = rows.and_then(|rows| rows.into_iter().map(key).collect());
        keys.map_err(failed("listing the API keys"))
    }

    async fn revoke_key(&self, name: &str, at_ms: u64) -> Result<bool, StoreError> {
        let revoked = sqlx::query(REVOKE)
            .bind(at_ms.cast_signed())
            .bind(name)
            .execute(&self.access)
            .await;
        let revoked = revoked.map_err(failed("revoking an API key"))?;
        Ok(revoked.rows_affected() > 0)
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar(HAS_KEYS).fetch_one(self.reader.pool());
        found.await.map_err(failed("looking for API keys"))
    }

    async fn note_use(&self, id: &str, at_ms: u64) -> Result<(), StoreError> {
        let note = sqlx::query(NOTE_USE).bind(at_ms.cast_signed()).bind(id);
        let noted = note.execute(&self.access).await;
        noted.map(drop).map_err(failed("noting the use of a key"))
    }

    async fn record(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let recorded = async {
            let mut change = self.access.begin_with("BEGIN IMMEDIATE").await?;
            for entry in entries {
                insert(&mut change, entry).await?;
            }
            change.commit().await
        };
        recorded.await.map_err(failed("writing down what was done"))
    }

    async fn recorded(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Audited>, StoreError> {
        let rows: Result<Vec<AuditRow>, _> = sqlx::query_as(RECORDED)
            .bind(before.map_or(i64::MAX, u64::cast_signed))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.reader.pool())
            .await;
        let entries = rows.and_then(|rows| rows.into_iter().map(audited).collect());
        entries.map_err(failed("reading what was done"))
    }
}

async fn insert(db: &mut SqliteConnection, entry: &AuditEntry) -> Result<(), sqlx::Error> {
    sqlx::query(RECORD)
        .bind(&entry.id)
        .bind(entry.at_ms.cast_signed())
        .bind(&entry.actor)
        .bind(&entry.address)
        .bind(entry.action.as_str())
        .bind(&entry.target)
        .bind(&entry.repository)
        .bind(entry.outcome.as_str())
        .bind(&entry.detail)
        .bind(entry.count.cast_signed())
        .execute(db)
        .await
        .map(drop)
}

//! The seam to where keys and the record of what was done live: beside the runs.

use async_trait::async_trait;
use pullwright_core::store::StoreError;

use super::audit::{AuditEntry, Audited};
use super::key::{Key, NewKey, StoredKey};

/// Where keys and the record of what was done live.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Keeps a new key, unless a key that is not revoked has its name.
    async fn create_key(&self, new: &NewKey) -> Result<KeyMade, StoreError>;

    /// The key of this id, whatever its state.
    async fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError>;

    /// All keys, the latest last.
    async fn keys(&self) -> Result<Vec<Key>, StoreError>;

    /// Ends the key of this name at `at_ms`. Answers false when there is none that is not revoked.
    async fn revoke_key(&self, name: &str, at_ms: u64) -> Result<bool, StoreError>;

    /// Whether there is a key that is not revoked, expired or not.
    async fn has_keys(&self) -> Result<bool, StoreError>;

    /// Notes that the key of this id was used at `at_ms`.
    async fn note_use(&self, id: &str, at_ms: u64) -> Result<(), StoreError>;

    /// Adds to the record. Entries that are in it already are not added again, so that a failed call may
    /// be repeated.
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// The latest entries of the record before number `before`, newest first.
    async fn recorded(&self, before: Option<u64>, limit: usize)
    -> Result<Vec<Audited>, StoreError>;
}

/// What [`AccessStore::create_key`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMade {
    /// The key is kept.
    Yes,
    /// Another key has the name.
    NameTaken,
}

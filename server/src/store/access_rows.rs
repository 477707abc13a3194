//! Keys and entries of the record, as both databases keep them.

use sqlx::Error;

use crate::access::{AuditEntry, Audited, Digest, Key, StoredKey};

/// A key's columns: id, name, digest, grant, created, expires, revoked, last used.
pub(super) type KeyRow = (
    String,
    String,
    Vec<u8>,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

/// An entry's columns: seq, id, at, actor, address, action, target, repository, outcome, detail, count.
pub(super) type AuditRow = (
    i64,
    String,
    i64,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    i64,
);

pub(super) fn stored_key(row: KeyRow) -> Result<StoredKey, Error> {
    let (id, name, digest, grant, created, expires, revoked, last_used) = row;
    let digest = digest.try_into();
    let digest = digest.map_err(|_| undecodable("a key's digest has not 32 bytes"))?;
    let key = Key {
        id,
        name,
        grant: serde_json::from_str(&grant).map_err(|error| Error::Decode(error.into()))?,
        created_at_ms: created.cast_unsigned(),
        expires_at_ms: expires.map(i64::cast_unsigned),
        revoked_at_ms: revoked.map(i64::cast_unsigned),
        last_used_at_ms: last_used.map(i64::cast_unsigned),
    };
    let digest = Digest::from_bytes(digest);
    Ok(StoredKey { key, digest })
}

pub(super) fn audited(row: AuditRow) -> Result<Audited, Error> {
    let (seq, id, at, actor, address, action, target, repository, outcome, detail, count) = row;
    let entry = AuditEntry {
        id,
        at_ms: at.cast_unsigned(),
        actor,
        address,
        action: action.parse().map_err(|error: String| undecodable(error))?,
        target,
        repository,
        outcome: outcome
            .parse()
            .map_err(|error: String| undecodable(error))?,
        detail,
        count: count.cast_unsigned(),
    };
    let seq = seq.cast_unsigned();
    Ok(Audited { seq, entry })
}

fn undecodable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Decode(why.into())
}

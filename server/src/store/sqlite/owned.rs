//! The part of runs' rows that fences their writers, for many runs at once: each statement is a trip to the
//! thread that SQLite works on.

use std::collections::HashMap;

use pullwright_protocol::RunId;
use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;

const READ: &str = "SELECT id, epoch, last_seq, outcome IS NOT NULL FROM runs \
     WHERE id IN (SELECT value FROM json_each(?))";

const WRITE: &str = "UPDATE runs SET last_seq = grown.value FROM json_each(?) AS grown \
     WHERE runs.id = grown.key";

/// Who may write to a run, and what its next event's number is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) epoch: u64,
    pub(super) last_seq: u64,
    pub(super) ended: bool,
    /// Whether events were added that its row does not know of.
    pub(super) grown: bool,
}

/// Those of `runs` that are there.
pub(super) async fn read(
    db: &mut SqliteConnection,
    runs: &[&str],
) -> Result<HashMap<RunId, Owned>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, bool)> = sqlx::query_as(READ)
        .bind(json!(runs).to_string())
        .fetch_all(db)
        .await?;
    let owned = rows.into_iter().map(|(id, epoch, last_seq, ended)| {
        let owned = Owned {
            epoch: epoch.cast_unsigned(),
            last_seq: last_seq.cast_unsigned(),
            ended,
            grown: false,
        };
        (RunId(id), owned)
    });
    Ok(owned.collect())
}

/// Writes down how far the runs have come that have grown.
pub(super) async fn write_grown(
    db: &mut SqliteConnection,
    runs: &mut HashMap<RunId, Owned>,
) -> Result<(), sqlx::Error> {
    let mut grown = Map::new();
    for (run, owned) in runs.iter_mut().filter(|(_, owned)| owned.grown) {
        owned.grown = false;
        grown.insert(run.0.clone(), json!(owned.last_seq));
    }
    if grown.is_empty() {
        return Ok(());
    }
    sqlx::query(WRITE)
        .bind(Value::Object(grown).to_string())
        .execute(db)
        .await
        .map(drop)
}

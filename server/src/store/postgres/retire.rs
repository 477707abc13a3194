//! Steps in removing what runs that ended long ago have left.

use std::collections::HashMap;

use pullwright_core::store::{Retired, StoreError};
use pullwright_protocol::RunId;
use sqlx::PgConnection;

use super::PostgresAddress;
use super::connection::{connect, in_time};
use crate::store::failure::refused;
use crate::store::op::{Op, RETIRED_EVENTS, Reply};
use crate::store::retention::Turn;
use crate::store::writer::Command;

/// Servers take turns under this number ("retiring" in ASCII).
const LOCK: i64 = 0x7265_7469_7269_6e67;

const STATE: &str = "SELECT outcome IS NOT NULL, emptied FROM runs WHERE id = $1";
const REMOVE_PATCH: &str = "WITH parts AS (DELETE FROM patch_parts WHERE run = $1) \
     DELETE FROM patches WHERE run = $1";
const REMOVE_EVENTS: &str = "DELETE FROM events WHERE run = $1 \
     AND seq < (SELECT min(seq) + $2 FROM events WHERE run = $1)";
const NOTE: &str = "UPDATE runs SET retired = coalesce(retired, $2), emptied = $3 WHERE id = $1";

type Applied = Result<Result<Reply, StoreError>, sqlx::Error>;

/// A turn ends with its connection, however the server ends.
pub(super) async fn turn(address: &PostgresAddress) -> Result<Option<Turn>, sqlx::Error> {
    let mut connection = connect(address).await?;
    let question = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
    let is_ours: bool = in_time(question.fetch_one(&mut connection)).await?;
    Ok(is_ours.then(|| Turn::held(connection)))
}

/// Carries out the steps of a group, whose rows are locked.
pub(super) async fn retire_all(
    db: &mut PgConnection,
    group: &[Command],
) -> Result<HashMap<usize, Result<Reply, StoreError>>, sqlx::Error> {
    let mut retired = HashMap::new();
    for (place, command) in group.iter().enumerate() {
        if let Op::Retire { run, how } = &command.op {
            retired.insert(place, retire(db, run, *how).await?);
        }
    }
    Ok(retired)
}

/// That the run is retired is noted with the first step: from then on nobody takes the rest of its events
/// for the whole.
async fn retire(db: &mut PgConnection, run: &RunId, how: Retired) -> Applied {
    let state = sqlx::query_as(STATE).bind(&run.0).fetch_optional(&mut *db);
    match state.await? {
        None => Ok(Err(StoreError::UnknownRun(run.clone()))),
        Some((false, _)) => {
            let under_way = format!("run {run} is under way");
            Ok(Err(refused("retiring a run")(under_way)))
        }
        Some((true, true)) => Ok(Ok(Reply::More(false))),
        Some((true, false)) => remove_some(db, run, how).await,
    }
}

async fn remove_some(db: &mut PgConnection, run: &RunId, how: Retired) -> Applied {
    let patch = sqlx::query(REMOVE_PATCH).bind(&run.0);
    patch.execute(&mut *db).await?;
    let events = sqlx::query(REMOVE_EVENTS).bind(&run.0).bind(RETIRED_EVENTS);
    let removed = events.execute(&mut *db).await?.rows_affected();
    let more = removed == RETIRED_EVENTS.cast_unsigned();
    let note = sqlx::query(NOTE)
        .bind(&run.0)
        .bind(how.as_str())
        .bind(!more);
    note.execute(db).await?;
    Ok(Ok(Reply::More(more)))
}

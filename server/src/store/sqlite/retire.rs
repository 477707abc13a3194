//! Steps in removing what runs that ended long ago have left.

use pullwright_core::store::{Retired, StoreError};
use pullwright_protocol::RunId;
use sqlx::SqliteConnection;

use super::apply::Applied;
use crate::store::failure::refused;
use crate::store::op::{RETIRED_EVENTS, Reply};

/// How many pages (4 KiB each) one step gives back.
const VACUUM: &str = "PRAGMA incremental_vacuum(256)";

/// That the run is retired is noted with the first step: from then on nobody takes the rest of its events
/// for the whole.
pub(super) async fn retire(db: &mut SqliteConnection, run: &RunId, how: Retired) -> Applied {
    let state: Option<(bool, bool)> =
        sqlx::query_as("SELECT outcome IS NOT NULL, emptied FROM runs WHERE id = ?")
            .bind(&run.0)
            .fetch_optional(&mut *db)
            .await?;
    match state {
        None => Ok(Err(StoreError::UnknownRun(run.clone()))),
        Some((false, _)) => {
            let under_way = format!("run {run} is under way");
            Ok(Err(refused("retiring a run")(under_way)))
        }
        Some((true, true)) => Ok(Ok(Reply::More(false))),
        Some((true, false)) => remove_some(db, run, how).await,
    }
}

async fn remove_some(db: &mut SqliteConnection, run: &RunId, how: Retired) -> Applied {
    sqlx::query("DELETE FROM patches WHERE run = ?")
        .bind(&run.0)
        .execute(&mut *db)
        .await?;
    let removed = sqlx::query(
        "DELETE FROM events WHERE run = ?1 \
         AND seq < (SELECT min(seq) + ?2 FROM events WHERE run = ?1)",
    )
    .bind(&run.0)
    .bind(RETIRED_EVENTS)
    .execute(&mut *db)
    .await?
    .rows_affected();
    let more = removed == RETIRED_EVENTS.cast_unsigned();
    sqlx::query("UPDATE runs SET retired = coalesce(retired, ?), emptied = ? WHERE id = ?")
        .bind(how.as_str())
        .bind(!more)
        .bind(&run.0)
        .execute(db)
        .await?;
    Ok(Ok(Reply::More(more)))
}

/// A file of an earlier version was made without the means for this: it keeps its size, and new runs use
/// what is free in it.
pub(super) async fn give_back(db: &mut SqliteConnection) -> Applied {
    let before = free_pages(db).await?;
    sqlx::query(VACUUM).fetch_all(&mut *db).await?;
    let after = free_pages(db).await?;
    Ok(Ok(Reply::More(after > 0 && after < before)))
}

async fn free_pages(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA freelist_count")
        .fetch_one(db)
        .await
}

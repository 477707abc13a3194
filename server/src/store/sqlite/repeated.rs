//! Whether an append is one that was committed before: its owner may not have heard of it.

use pullwright_protocol::{Outcome, RunId};
use sqlx::SqliteConnection;

use crate::store::op::EventRow;

/// Whether exactly these events are in the run's log and, with an outcome, end it.
pub(super) async fn is_stored(
    db: &mut SqliteConnection,
    run: &RunId,
    events: &[EventRow],
    outcome: Option<Outcome>,
) -> Result<bool, sqlx::Error> {
    for event in events {
        let stored: Option<(i64, String)> =
            sqlx::query_as("SELECT at_ms, event FROM events WHERE run = ? AND seq = ?")
                .bind(&run.0)
                .bind(event.number())
                .fetch_optional(&mut *db)
                .await?;
        let same = |(at_ms, json): (i64, String)| at_ms == event.at() && json == event.json;
        if !stored.is_some_and(same) {
            return Ok(false);
        }
    }
    let ended: Option<String> = sqlx::query_scalar("SELECT outcome FROM runs WHERE id = ?")
        .bind(&run.0)
        .fetch_one(db)
        .await?;
    Ok(outcome.is_none_or(|outcome| ended == Some(outcome.to_string())))
}

//! The commonest transaction, one append, in one go.
//!
//! Each statement is a trip to the thread that SQLite works on, and the loop's own events come one
//! append at a time; so the whole transaction is sent at once.

use std::fmt::Write as _;

use pullwright_core::store::Epoch;
use pullwright_protocol::RunId;
use sqlx::SqliteConnection;

use crate::store::op::{EventRow, Op};

/// A larger append is written as part of a group.
const MAX_ROWS: usize = 16;

/// An append of a few events that does not end its run.
pub(super) struct SingleAppend<'g> {
    run: &'g RunId,
    epoch: Epoch,
    events: &'g [EventRow],
}

impl<'g> SingleAppend<'g> {
    pub(super) fn of(op: &'g Op) -> Option<Self> {
        match op {
            Op::Append {
                run,
                epoch,
                events,
                outcome: None,
            } if (1..=MAX_ROWS).contains(&events.len()) && are_in_sequence(events) => Some(Self {
                run,
                epoch: *epoch,
                events,
            }),
            _ => None,
        }
    }

    /// Commits the events, or answers false and changes nothing where they may not be appended.
    pub(super) async fn commit(&self, db: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let first = self.events.first().map_or(0, |event| event.logged.seq);
        let last = first + self.events.len() as u64 - 1;
        let sql = sqlx::AssertSqlSafe(sql(self.events.len()));
        let mut query = sqlx::query(sql)
            .bind(last.cast_signed())
            .bind(&self.run.0)
            .bind(self.epoch.0.cast_signed())
            .bind(first.cast_signed() - 1);
        for event in self.events {
            query = query
                .bind(&self.run.0)
                .bind(event.number())
                .bind(event.at())
                .bind(&event.json);
        }
        // The update answers a row if it found the run as its owner left it.
        Ok(!query.fetch_all(db).await?.is_empty())
    }
}

fn are_in_sequence(events: &[EventRow]) -> bool {
    let follow = |pair: &[EventRow]| pair[0].logged.seq + 1 == pair[1].logged.seq;
    events.windows(2).all(follow)
}

/// The insert sees how many rows the update before it changed.
fn sql(rows: usize) -> String {
    let mut sql = String::from(
        "BEGIN IMMEDIATE; \
         UPDATE runs SET last_seq = ? \
         WHERE id = ? AND epoch = ? AND last_seq = ? AND outcome IS NULL RETURNING last_seq; \
         INSERT INTO events (run, seq, at_ms, event) SELECT * FROM (VALUES ",
    );
    for row in 0..rows {
        let separator = if row == 0 { "" } else { ", " };
        let _ = write!(sql, "{separator}(?, ?, ?, ?)");
    }
    sql.push_str(") WHERE changes() = 1; COMMIT");
    sql
}

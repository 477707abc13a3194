//! The commonest group, appends and nothing else, in one trip to the database.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::store::op::{EventRow, Op};
use crate::store::writer::Command;

macro_rules! append {
    ($locked:literal, $from:literal) => {
        concat!(
            "WITH new AS (\
               SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
                 AS new (id, epoch, first, last)), ",
            $locked,
            "appended AS (\
               UPDATE runs SET last_seq = new.last FROM ",
            $from,
            " WHERE runs.id = new.id AND runs.epoch = new.epoch AND runs.last_seq = new.first - 1 \
                 AND runs.outcome IS NULL \
               RETURNING runs.id), \
             written AS (\
               INSERT INTO events (run, seq, at_ms, event) \
               SELECT event.* \
               FROM UNNEST($5::text[], $6::bigint[], $7::bigint[], $8::text[]) \
                 AS event (run, seq, at_ms, event) \
               JOIN appended ON appended.id = event.run) \
             SELECT count(*) FROM appended"
        )
    };
}

/// One statement is a transaction of its own. A run that is not as its owner left it keeps its row, and none
/// of its events are written.
const APPEND_TO_ONE: &str = append!("", "new");
/// The rows of several runs are locked in order, so that two servers cannot wait for each other.
const APPEND_TO_SEVERAL: &str = append!(
    "locked AS (SELECT id FROM runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE), ",
    "new JOIN locked USING (id)"
);

/// Appends to different runs, none of which ends one.
pub(super) struct Appends<'g> {
    runs: Vec<&'g str>,
    epochs: Vec<i64>,
    events: Vec<&'g [EventRow]>,
}

impl<'g> Appends<'g> {
    pub(super) fn of(group: &'g [Command]) -> Option<Self> {
        let mut appends = Self {
            runs: Vec::with_capacity(group.len()),
            epochs: Vec::with_capacity(group.len()),
            events: Vec::with_capacity(group.len()),
        };
        let mut seen = HashSet::with_capacity(group.len());
        for command in group {
            let Op::Append {
                run,
                epoch,
                events,
                outcome: None,
            } = &command.op
            else {
                return None;
            };
            if events.is_empty() || !are_in_sequence(events) || !seen.insert(run) {
                return None;
            }
            appends.runs.push(&run.0);
            appends.epochs.push(epoch.0.cast_signed());
            appends.events.push(events);
        }
        Some(appends)
    }

    /// Commits the events. Answers false where some of them, or all, may not be appended; the others
    /// are committed then.
    pub(super) async fn commit(&self, db: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let ends = |end: fn(&[EventRow]) -> Option<&EventRow>| -> Vec<i64> {
            let ends = self.events.iter().filter_map(|events| end(events));
            ends.map(EventRow::number).collect()
        };
        let owners = self.runs.iter().zip(&self.events);
        let runs: Vec<&str> = owners
            .flat_map(|(run, events)| events.iter().map(|_| *run))
            .collect();
        let events = || self.events.iter().copied().flatten();
        let append = match self.runs.len() {
            1 => APPEND_TO_ONE,
            _ => APPEND_TO_SEVERAL,
        };
        let appended: i64 = sqlx::query_scalar(append)
            .bind(&self.runs)
            .bind(&self.epochs)
            .bind(ends(<[EventRow]>::first))
            .bind(ends(<[EventRow]>::last))
            .bind(runs)
            .bind(events().map(EventRow::number).collect::<Vec<_>>())
            .bind(events().map(EventRow::at).collect::<Vec<_>>())
            .bind(
                events()
                    .map(|event| event.json.as_str())
                    .collect::<Vec<_>>(),
            )
            .fetch_one(db)
            .await?;
        Ok(usize::try_from(appended) == Ok(self.runs.len()))
    }
}

fn are_in_sequence(events: &[EventRow]) -> bool {
    let follow = |pair: &[EventRow]| pair[0].logged.seq + 1 == pair[1].logged.seq;
    events.windows(2).all(follow)
}

//! What a group of changes does to the tables, in a handful of statements however many they are.
//!
//! The rows of all runs are locked at once and in order, so that two servers cannot wait for each
//! other; the changes are worked out here, and written together.

use std::collections::HashMap;
use std::time::Duration;

use pullwright_core::store::{Epoch, NewRun, StoreError};
use pullwright_protocol::{Outcome, RunId};
use sqlx::PgConnection;

use super::create::create;
use super::retire::retire_all;
use super::row::Row;
use crate::store::failure::refused;
use crate::store::op::{EventRow, Op, Reply};
use crate::store::writer::{Command, Replies};

const LOCK: &str = "WITH locked AS (\
       SELECT id, epoch, last_seq, worker, leased_until_ms, cancel_requested, outcome, finished_at_ms, \
         claimed_seq, stalled_claims \
       FROM runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE) \
     SELECT *, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms FROM locked";
const UPDATE: &str = "UPDATE runs SET epoch = new.epoch, last_seq = new.last_seq, \
       worker = new.worker, leased_until_ms = new.leased_until_ms, \
       cancel_requested = new.cancel_requested, outcome = new.outcome, \
       finished_at_ms = new.finished_at_ms, claimed_seq = new.claimed_seq, \
       stalled_claims = new.stalled_claims, \
       sealed_token = CASE WHEN new.outcome IS NULL THEN runs.sealed_token END \
     FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[], \
       $7::text[], $8::bigint[], $9::bigint[], $10::bigint[]) \
     AS new (id, epoch, last_seq, worker, leased_until_ms, cancel_requested, outcome, finished_at_ms, \
       claimed_seq, stalled_claims) \
     WHERE runs.id = new.id";
const INSERT: &str = "INSERT INTO events (run, seq, at_ms, event) \
     SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::text[])";
const STORED: &str = "SELECT events.run, events.seq, events.at_ms, events.event \
     FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS asked (run, first, last) \
     JOIN events ON events.run = asked.run AND events.seq BETWEEN asked.first AND asked.last";
const PUT: &str = "WITH put AS (\
       INSERT INTO patches (run, patch) SELECT * FROM UNNEST($1::text[], $2::bytea[]) \
       ON CONFLICT (run) DO UPDATE SET patch = excluded.patch, upload = NULL, parts = NULL \
       RETURNING run) \
     DELETE FROM patch_parts USING put WHERE patch_parts.run = put.run";
const REMOVE: &str = "WITH parts AS (DELETE FROM patch_parts WHERE run = ANY($1)) \
     DELETE FROM patches WHERE run = ANY($1)";

/// Parts of uploads that broke off, whose owner did not come to remove them.
const REMOVE_UNUSED: &str = "DELETE FROM patch_parts WHERE run = ANY($1) AND upload IS DISTINCT FROM \
     (SELECT upload FROM patches WHERE patches.run = patch_parts.run)";

/// The epochs that claims of an earlier try of the same group got, by their place in it.
pub(super) type Claimed = HashMap<usize, Epoch>;

/// Carries out the group within a transaction that is open.
pub(super) async fn carry_out(
    db: &mut PgConnection,
    group: &[Command],
    before: &Claimed,
) -> Result<Replies, sqlx::Error> {
    let mut created = create_all(db, group).await?;
    let mut changes = Changes::load(db, group).await?;
    let mut replies = Vec::with_capacity(group.len());
    created.extend(retire_all(db, group).await?);
    for (place, command) in group.iter().enumerate() {
        replies.push(match created.remove(&place) {
            Some(reply) => reply,
            None => changes.apply(&command.op, before.get(&place).copied()),
        });
    }
    changes.store(db).await?;
    Ok(replies)
}

async fn create_all(
    db: &mut PgConnection,
    group: &[Command],
) -> Result<HashMap<usize, Result<Reply, StoreError>>, sqlx::Error> {
    let mut created = HashMap::new();
    for (place, new) in new_runs(group.iter().map(|command| &command.op)) {
        created.insert(place, create(db, new).await?);
    }
    Ok(created)
}

/// The runs to be created, with their places in the group.
///
/// Each waits for another server's run that follows the same one, or has the same key. So all servers take
/// them in one order: by what they follow, and then by their keys. A key that stands for followers of
/// different runs can still make two servers wait for each other; the database then ends one's transaction,
/// and its group is tried again.
fn new_runs<'g>(ops: impl Iterator<Item = &'g Op>) -> Vec<(usize, &'g NewRun)> {
    let created = ops.enumerate().filter_map(|(place, op)| match op {
        Op::Create(new) => Some((place, &**new)),
        _ => None,
    });
    let mut created: Vec<_> = created.collect();
    created.sort_by_key(|&(_, new)| {
        let follows = new.request.follows.as_ref().map(|run| &run.0);
        (follows, &new.owner, &new.idempotency_key)
    });
    created
}

/// The rows of a group's runs, and what is to be written.
struct Changes<'g> {
    now_ms: i64,
    runs: HashMap<String, Row>,
    /// What the log holds already under numbers that somebody wants to give.
    stored: HashMap<(String, i64), (i64, String)>,
    events: Vec<(&'g RunId, &'g EventRow)>,
    /// What becomes of patches: another one, or none.
    patches: HashMap<&'g RunId, Option<&'g [u8]>>,
    ended: Vec<&'g str>,
}

impl<'g> Changes<'g> {
    async fn load(db: &mut PgConnection, group: &[Command]) -> Result<Self, sqlx::Error> {
        let mut changes = Self {
            now_ms: 0,
            runs: HashMap::new(),
            stored: HashMap::new(),
            events: Vec::new(),
            patches: HashMap::new(),
            ended: Vec::new(),
        };
        let ids: Vec<&str> = group
            .iter()
            .filter_map(|command| command.op.run())
            .collect();
        if ids.is_empty() {
            return Ok(changes);
        }
        let rows: Vec<Row> = sqlx::query_as(LOCK).bind(ids).fetch_all(&mut *db).await?;
        changes.now_ms = rows.iter().map(|row| row.now_ms).max().unwrap_or(0);
        changes.runs = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        changes.load_stored(db, group).await?;
        Ok(changes)
    }

    async fn load_stored(
        &mut self,
        db: &mut PgConnection,
        group: &[Command],
    ) -> Result<(), sqlx::Error> {
        let (mut runs, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
        for command in group {
            let Op::Append { run, events, .. } = &command.op else {
                continue;
            };
            let known = self.runs.get(&run.0).map_or(0, |row| row.last_seq);
            if let [first, ..] = &events[..]
                && first.number() <= known
            {
                runs.push(run.0.as_str());
                firsts.push(first.number());
                lasts.push(events.last().map_or(0, EventRow::number));
            }
        }
        if runs.is_empty() {
            return Ok(());
        }
        let stored: Vec<(String, i64, i64, String)> = sqlx::query_as(STORED)
            .bind(runs)
            .bind(firsts)
            .bind(lasts)
            .fetch_all(db)
            .await?;
        let by_number = stored
            .into_iter()
            .map(|(run, seq, at_ms, json)| ((run, seq), (at_ms, json)));
        self.stored.extend(by_number);
        Ok(())
    }

    fn apply(&mut self, op: &'g Op, before: Option<Epoch>) -> Result<Reply, StoreError> {
        let now_ms = self.now_ms;
        match op {
            Op::Create(_) => Err(refused(op.what())("a run is created before all else")),
            Op::Claim { run, worker, lease } => {
                let claimed = self.row(run)?.claim(worker, millis(*lease), now_ms, before);
                claimed.map(Reply::Claimed)
            }
            Op::Heartbeat { run, epoch, lease } => {
                let row = self.row(run)?;
                row.fence(*epoch)?;
                match lease.is_zero() {
                    true => row.let_go(),
                    false => row.extend(millis(*lease), now_ms),
                }
                Ok(Reply::Done)
            }
            Op::Park { run, epoch, wait } => {
                let row = self.row(run)?;
                row.fence(*epoch)?;
                row.park(millis(*wait), now_ms);
                Ok(Reply::Done)
            }
            Op::Append {
                run,
                epoch,
                events,
                outcome,
            } => self.append(run, *epoch, events, *outcome),
            Op::SetPatch { run, epoch, patch } => {
                self.row(run)?.fence(*epoch)?;
                self.patches.insert(run, patch.as_deref());
                Ok(Reply::Done)
            }
            Op::Retire { .. } | Op::GiveBack => Ok(Reply::More(false)),
            Op::Cancel(run) => Ok(Reply::Cancelled(self.row(run)?.cancel())),
        }
    }

    fn append(
        &mut self,
        run: &'g RunId,
        epoch: Epoch,
        events: &'g [EventRow],
        outcome: Option<Outcome>,
    ) -> Result<Reply, StoreError> {
        let now_ms = self.now_ms;
        let row = self.row(run)?;
        let taken = events
            .first()
            .is_some_and(|first| first.number() <= row.last_seq);
        if taken && row.is_owned_by(epoch) && self.has(run, events, outcome) {
            return Ok(Reply::Done);
        }
        let row = self.row(run)?;
        row.fence(epoch)?;
        let mut numbered = events.iter().map(EventRow::number).zip(row.last_seq + 1..);
        if let Some((seq, expected)) = numbered.find(|(seq, expected)| seq != expected) {
            let gap = format!("event {seq} of run {run} is not number {expected}");
            return Err(refused("appending events")(gap));
        }
        if !events.is_empty() {
            row.grow(events.len());
        }
        if let Some(outcome) = outcome {
            row.end(outcome, now_ms);
            self.ended.push(&run.0);
        }
        self.events.extend(events.iter().map(|event| (run, event)));
        Ok(Reply::Done)
    }

    /// Whether exactly these events are in the run's log and, with an outcome, end it: their owner may
    /// not have heard that they were committed.
    fn has(&self, run: &RunId, events: &[EventRow], outcome: Option<Outcome>) -> bool {
        let ended = self.runs.get(&run.0).and_then(|row| row.outcome.as_deref());
        let same_end = outcome.is_none_or(|outcome| ended == Some(outcome.to_string().as_str()));
        same_end && events.iter().all(|event| self.has_event(run, event))
    }

    fn has_event(&self, run: &RunId, event: &EventRow) -> bool {
        if let Some((at_ms, json)) = self.stored.get(&(run.0.clone(), event.number())) {
            return (*at_ms, json) == (event.at(), &event.json);
        }
        let same = |(other, written): &(&RunId, &EventRow)| {
            *other == run && written.logged == event.logged
        };
        self.events.iter().any(same)
    }

    fn row(&mut self, run: &RunId) -> Result<&mut Row, StoreError> {
        let row = self.runs.get_mut(&run.0);
        row.ok_or_else(|| StoreError::UnknownRun(run.clone()))
    }

    async fn store(self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        let changed: Vec<&Row> = self.runs.values().filter(|row| row.changed).collect();
        if !self.events.is_empty() {
            insert(db, &self.events).await?;
        }
        if !self.patches.is_empty() {
            set_patches(db, &self.patches).await?;
        }
        if !self.ended.is_empty() {
            let remove = sqlx::query(REMOVE_UNUSED).bind(&self.ended);
            remove.execute(&mut *db).await?;
        }
        if !changed.is_empty() {
            update(db, &changed).await?;
        }
        Ok(())
    }
}

async fn insert(db: &mut PgConnection, events: &[(&RunId, &EventRow)]) -> Result<(), sqlx::Error> {
    let column = |of: fn(&EventRow) -> i64| -> Vec<i64> {
        events.iter().map(|(_, event)| of(event)).collect()
    };
    let runs: Vec<&str> = events.iter().map(|(run, _)| run.0.as_str()).collect();
    let json: Vec<&str> = events
        .iter()
        .map(|(_, event)| event.json.as_str())
        .collect();
    let insert = sqlx::query(INSERT)
        .bind(runs)
        .bind(column(EventRow::number))
        .bind(column(EventRow::at))
        .bind(json);
    insert.execute(db).await.map(drop)
}

async fn set_patches(
    db: &mut PgConnection,
    patches: &HashMap<&RunId, Option<&[u8]>>,
) -> Result<(), sqlx::Error> {
    let stored = patches
        .iter()
        .filter_map(|(run, patch)| Some((run.0.as_str(), (*patch)?)));
    let (runs, bytes): (Vec<&str>, Vec<&[u8]>) = stored.unzip();
    if !runs.is_empty() {
        let put = sqlx::query(PUT).bind(runs).bind(bytes);
        put.execute(&mut *db).await?;
    }
    let removed = patches.iter().filter(|(_, patch)| patch.is_none());
    let removed: Vec<&str> = removed.map(|(run, _)| run.0.as_str()).collect();
    if !removed.is_empty() {
        let remove = sqlx::query(REMOVE).bind(removed);
        remove.execute(db).await?;
    }
    Ok(())
}

async fn update(db: &mut PgConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    fn column<'r, T>(rows: &[&'r Row], of: impl Fn(&'r Row) -> T) -> Vec<T> {
        rows.iter().map(|row| of(row)).collect()
    }
    sqlx::query(UPDATE)
        .bind(column(rows, |row| row.id.as_str()))
        .bind(column(rows, |row| row.epoch))
        .bind(column(rows, |row| row.last_seq))
        .bind(column(rows, |row| row.worker.as_deref()))
        .bind(column(rows, |row| row.leased_until_ms))
        .bind(column(rows, |row| row.cancel_requested))
        .bind(column(rows, |row| row.outcome.as_deref()))
        .bind(column(rows, |row| row.finished_at_ms))
        .bind(column(rows, |row| row.claimed_seq))
        .bind(column(rows, |row| row.stalled_claims))
        .execute(db)
        .await
        .map(drop)
}

fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(run: &str, follows: Option<&str>, key: Option<&str>) -> Op {
        let request = serde_json::json!({
            "repoUrl": "https://github.com/owner/repo", "prompt": "do it", "follows": follows,
        });
        Op::Create(Box::new(NewRun {
            id: RunId(run.to_owned()),
            request: serde_json::from_value(request).unwrap(),
            owner: None,
            idempotency_key: key.map(str::to_owned),
            at_ms: 1000,
            sealed_token: None,
        }))
    }

    /// Keys that came in another order on another server must not change the order of what is followed.
    #[test]
    fn runs_are_created_in_the_order_of_what_they_follow() {
        let ops = [
            create("a", Some("second"), Some("1")),
            create("b", None, Some("2")),
            Op::GiveBack,
            create("c", Some("first"), Some("3")),
            create("d", None, Some("1")),
            create("e", Some("first"), Some("2")),
        ];
        let created = new_runs(ops.iter());
        let ids: Vec<&str> = created.iter().map(|(_, new)| new.id.0.as_str()).collect();
        assert_eq!(ids, ["d", "b", "e", "c", "a"]);
        assert_eq!(created[0].0, 4);
    }
}

//! What the writer's commands do to the tables.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use pullwright_core::log::now_ms;
use pullwright_core::store::{Created, Epoch, NewRun, StoreError};
use pullwright_protocol::{Outcome, RunId};
use sqlx::SqliteConnection;

use super::owned::{self, Owned};
use super::repeated::is_stored;
use super::retire::{give_back, retire};
use crate::store::failure::refused;
use crate::store::op::{EVENTS_OF_A_CLAIM, EventRow, NEW_RUN_LEASE, Op, Reply};

/// How many events one INSERT takes: larger statements gain nothing.
const ROWS_PER_INSERT: usize = 128;

/// As the index of keys has it.
const EARLIER: &str = "SELECT id, request FROM runs \
     WHERE idempotency_key = ? AND coalesce(owner, '') = coalesce(?, '')";

static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert_sql(ROWS_PER_INSERT));

/// One transaction in the making. Events are gathered and written together.
pub(super) struct Changes<'g> {
    runs: HashMap<RunId, Owned>,
    rows: Vec<(&'g RunId, &'g EventRow)>,
}

/// The outer error means that the transaction failed, the inner one that this change is refused.
pub(super) type Applied = Result<Result<Reply, StoreError>, sqlx::Error>;

impl<'g> Changes<'g> {
    /// Knows the runs that a group is about.
    pub(super) async fn begin(
        db: &mut SqliteConnection,
        group: impl Iterator<Item = &'g Op>,
    ) -> Result<Self, sqlx::Error> {
        let named: HashSet<&str> = group.filter_map(Op::run).collect();
        let named: Vec<&str> = named.into_iter().collect();
        Ok(Self {
            runs: owned::read(db, &named).await?,
            rows: Vec::new(),
        })
    }

    pub(super) async fn apply(&mut self, db: &mut SqliteConnection, op: &'g Op) -> Applied {
        match op {
            Op::Create(new) => create(db, new).await,
            Op::Claim { run, worker, lease } => self.claim(db, run, worker, *lease).await,
            Op::Heartbeat { run, epoch, lease } => self.heartbeat(db, run, *epoch, *lease).await,
            Op::Park { run, epoch, wait } => self.park(db, run, *epoch, *wait).await,
            Op::Append {
                run,
                epoch,
                events,
                outcome,
            } => self.append(db, run, *epoch, events, *outcome).await,
            Op::SetPatch { run, epoch, patch } => {
                self.set_patch(db, run, *epoch, patch.as_deref()).await
            }
            Op::Cancel(run) => self.cancel(db, run).await,
            Op::Retire { run, how } => retire(db, run, *how).await,
            Op::GiveBack => give_back(db).await,
        }
    }

    /// Writes what was gathered.
    pub(super) async fn flush(&mut self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for rows in self.rows.chunks(ROWS_PER_INSERT) {
            insert(db, rows).await?;
        }
        self.rows.clear();
        owned::write_grown(db, &mut self.runs).await
    }

    async fn claim(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        worker: &str,
        lease: Duration,
    ) -> Applied {
        let lease = Lease::from_now(lease);
        // How far the run has come is read from its row.
        self.flush(db).await?;
        let Some(owned) = self.owned(db, run).await? else {
            return Ok(Err(StoreError::UnknownRun(run.clone())));
        };
        // An owner that let go of the run is none any more.
        let claimed: Option<i64> = sqlx::query_scalar(
            "UPDATE runs SET epoch = epoch + 1, \
               stalled_claims = iif(worker IS NOT NULL AND last_seq <= claimed_seq + ?, \
                 stalled_claims + 1, 0), \
               claimed_seq = last_seq, worker = ?, leased_until_ms = ? \
             WHERE id = ? AND outcome IS NULL AND (epoch = 0 OR leased_until_ms <= ?) RETURNING epoch",
        )
        .bind(EVENTS_OF_A_CLAIM)
        .bind(worker)
        .bind(lease.until)
        .bind(&run.0)
        .bind(lease.now)
        .fetch_optional(db)
        .await?;
        let Some(epoch) = claimed.map(i64::cast_unsigned) else {
            return Ok(Err(StoreError::Fenced(run.clone())));
        };
        owned.epoch = epoch;
        Ok(Ok(Reply::Claimed(Epoch(epoch))))
    }

    async fn heartbeat(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        epoch: Epoch,
        lease: Duration,
    ) -> Applied {
        if let Err(refused) = self.fence(db, run, epoch).await? {
            return Ok(Err(refused));
        }
        if lease.is_zero() {
            let_go(db, run).await?;
        } else {
            // One that comes after its owner has let go of the run keeps nobody from it, and brings it to nobody.
            let extended =
                "UPDATE runs SET leased_until_ms = ? WHERE id = ? AND worker IS NOT NULL";
            sqlx::query(extended)
                .bind(Lease::from_now(lease).until)
                .bind(&run.0)
                .execute(db)
                .await?;
        }
        Ok(Ok(Reply::Done))
    }

    /// A lease without an owner: nobody may claim the run before it is over. One that is to end waits for nothing.
    async fn park(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        epoch: Epoch,
        wait: Duration,
    ) -> Applied {
        if let Err(refused) = self.fence(db, run, epoch).await? {
            return Ok(Err(refused));
        }
        sqlx::query(
            "UPDATE runs SET worker = NULL, leased_until_ms = iif(cancel_requested, 0, ?) WHERE id = ?",
        )
        .bind(Lease::from_now(wait).until)
        .bind(&run.0)
        .execute(db)
        .await?;
        Ok(Ok(Reply::Done))
    }

    async fn append(
        &mut self,
        db: &mut SqliteConnection,
        run: &'g RunId,
        epoch: Epoch,
        events: &'g [EventRow],
        outcome: Option<Outcome>,
    ) -> Applied {
        if self.has_number_of(db, run, epoch, events).await? {
            self.flush(db).await?;
            if is_stored(db, run, events, outcome).await? {
                return Ok(Ok(Reply::Done));
            }
        }
        let owned = match self.fence(db, run, epoch).await? {
            Ok(owned) => owned,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut numbered = events
            .iter()
            .map(|event| event.logged.seq)
            .zip(owned.last_seq + 1..);
        if let Some((seq, expected)) = numbered.find(|(seq, expected)| seq != expected) {
            let gap = format!("event {seq} of run {run} is not number {expected}");
            return Ok(Err(refused("appending events")(gap)));
        }
        owned.last_seq += events.len() as u64;
        owned.grown |= !events.is_empty();
        owned.ended = outcome.is_some();
        self.rows.extend(events.iter().map(|event| (run, event)));
        if let Some(outcome) = outcome {
            end(db, run, outcome).await?;
        }
        Ok(Ok(Reply::Done))
    }

    async fn set_patch(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        epoch: Epoch,
        patch: Option<&[u8]>,
    ) -> Applied {
        if let Err(refused) = self.fence(db, run, epoch).await? {
            return Ok(Err(refused));
        }
        let set = match patch {
            Some(patch) => sqlx::query("INSERT OR REPLACE INTO patches (run, patch) VALUES (?, ?)")
                .bind(&run.0)
                .bind(patch),
            None => sqlx::query("DELETE FROM patches WHERE run = ?").bind(&run.0),
        };
        set.execute(db).await?;
        Ok(Ok(Reply::Done))
    }

    async fn cancel(&mut self, db: &mut SqliteConnection, run: &RunId) -> Applied {
        let Some(owned) = self.owned(db, run).await? else {
            return Ok(Err(StoreError::UnknownRun(run.clone())));
        };
        if owned.ended {
            return Ok(Ok(Reply::Cancelled(false)));
        }
        sqlx::query(
            "UPDATE runs SET cancel_requested = 1, \
               leased_until_ms = iif(worker IS NULL AND epoch > 0, 0, leased_until_ms) WHERE id = ?",
        )
        .bind(&run.0)
        .execute(db)
        .await?;
        Ok(Ok(Reply::Cancelled(true)))
    }

    /// Whether this owner has given the number of the first of `events` before.
    async fn has_number_of(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        epoch: Epoch,
        events: &[EventRow],
    ) -> Result<bool, sqlx::Error> {
        let owned = self.owned(db, run).await?;
        let own = owned.filter(|owned| owned.epoch == epoch.0);
        Ok(own
            .zip(events.first())
            .is_some_and(|(owned, first)| first.logged.seq <= owned.last_seq))
    }

    /// The run, if `epoch` owns it and it has not ended.
    async fn fence(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
        epoch: Epoch,
    ) -> Result<Result<&mut Owned, StoreError>, sqlx::Error> {
        Ok(match self.owned(db, run).await? {
            None => Err(StoreError::UnknownRun(run.clone())),
            Some(owned) if owned.ended || owned.epoch != epoch.0 => {
                Err(StoreError::Fenced(run.clone()))
            }
            Some(owned) => Ok(owned),
        })
    }

    async fn owned(
        &mut self,
        db: &mut SqliteConnection,
        run: &RunId,
    ) -> Result<Option<&mut Owned>, sqlx::Error> {
        // One that was not there when the group began may have been created in it.
        if !self.runs.contains_key(run) {
            self.runs.extend(owned::read(db, &[&run.0]).await?);
        }
        Ok(self.runs.get_mut(run))
    }
}

/// How long an ownership lasts without a heartbeat.
#[derive(Clone, Copy, Debug)]
struct Lease {
    now: i64,
    until: i64,
}

impl Lease {
    fn from_now(lease: Duration) -> Self {
        let now = now_ms().cast_signed();
        let lasting = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Self {
            now,
            until: now.saturating_add(lasting),
        }
    }
}

async fn create(db: &mut SqliteConnection, new: &NewRun) -> Applied {
    let request = match serde_json::to_string(&new.request) {
        Ok(request) => request,
        Err(error) => return Ok(Err(refused("creating a run")(error))),
    };
    if let Some(key) = &new.idempotency_key {
        let earlier: Option<(String, String)> = sqlx::query_as(EARLIER)
            .bind(key)
            .bind(&new.owner)
            .fetch_optional(&mut *db)
            .await?;
        if let Some((id, same)) = earlier.map(|(id, earlier)| (id, earlier == request)) {
            let joined = || Created::Joined(RunId(id));
            let created = if same { joined() } else { Created::KeyReused };
            return Ok(Ok(Reply::Created(created)));
        }
    }
    let follows = new.request.follows.as_ref().map(|run| &run.0);
    if let Some(follows) = follows {
        let rival: Option<String> = sqlx::query_scalar("SELECT id FROM runs WHERE follows = ?")
            .bind(follows)
            .fetch_optional(&mut *db)
            .await?;
        if let Some(rival) = rival {
            return Ok(Ok(Reply::Created(Created::FollowedBy(RunId(rival)))));
        }
    }
    sqlx::query(
        "INSERT INTO runs \
           (id, request, owner, idempotency_key, created_at_ms, leased_until_ms, follows, sealed_token) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&new.id.0)
    .bind(request)
    .bind(&new.owner)
    .bind(&new.idempotency_key)
    .bind(new.at_ms.cast_signed())
    .bind(Lease::from_now(NEW_RUN_LEASE).until)
    .bind(follows)
    .bind(&new.sealed_token)
    .execute(db)
    .await?;
    Ok(Ok(Reply::Created(Created::New)))
}

async fn let_go(db: &mut SqliteConnection, run: &RunId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE runs SET leased_until_ms = 0, worker = NULL WHERE id = ?")
        .bind(&run.0)
        .execute(db)
        .await
        .map(drop)
}

/// Nobody owns a run that has ended, and nobody needs its token any more.
async fn end(db: &mut SqliteConnection, run: &RunId, outcome: Outcome) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE runs SET outcome = ?, finished_at_ms = ?, leased_until_ms = 0, worker = NULL, \
           sealed_token = NULL WHERE id = ?",
    )
    .bind(outcome.to_string())
    .bind(now_ms().cast_signed())
    .bind(&run.0)
    .execute(db)
    .await
    .map(drop)
}

async fn insert(
    db: &mut SqliteConnection,
    rows: &[(&RunId, &EventRow)],
) -> Result<(), sqlx::Error> {
    // Only the full-size statement is worth a place in the statement cache.
    let full = rows.len() == ROWS_PER_INSERT;
    let sql = if full {
        INSERT_MANY.clone()
    } else {
        insert_sql(rows.len())
    };
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(full || rows.len() == 1);
    for (run, event) in rows {
        query = query
            .bind(&run.0)
            .bind(event.number())
            .bind(event.at())
            .bind(&event.json);
    }
    query.execute(db).await.map(drop)
}

fn insert_sql(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO events (run, seq, at_ms, event) VALUES {values}")
}

//! Runs that nobody owns any more: taken over, each when there is a place for it.
//!
//! Such a run stands in the queue unclaimed, at every server that knows of it. The one that has a place
//! first claims it; the others find that out when its turn comes there. So nobody holds a run that it
//! has no place for, and what was accepted somewhere is not overtaken for ever by what is new here.

use futures_util::FutureExt as _;
use pullwright_core::run::{GIVEN_UP, OwnedRun};
use pullwright_core::store::{Epoch, RunRecord, StoreError};
use pullwright_protocol::{FailureKind, Outcome, RunId};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::line::Seat;
use super::start::{first_events, ticket};
use super::{Caller, Runs};

/// How often a run is taken over from an owner that died before the run came any further: it may be the
/// run that kills its servers. The next owner saves its work and ends it.
const MAX_RESUMES: u64 = 3;

/// How often is looked for runs without an owner, within the time that a lease lasts.
const LOOKS_PER_LEASE: u32 = 3;

/// How often is looked for what is here of runs that ended elsewhere, in leases.
const LEASES_PER_GIVING_BACK: u32 = 20;

impl Runs {
    /// Goes on with runs of dead servers, and answers with how many at once. The others wait for their
    /// turn.
    ///
    /// # Errors
    /// When the store cannot say which there are.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        // A server that stops waits for this to be over.
        let _tracked = self.shared.tasks.token();
        let mut taken = 0;
        let orphans = self.shared.store.orphans().await?;
        self.forget_tokens().await;
        let known = orphans.iter().cloned().collect();
        let before = self.shared.orphans.send_replace(known);
        for run in orphans {
            if self.is_closing() {
                break;
            }
            if self.shared.active.contains(&run) || self.shared.line.holds(&run) {
                continue;
            }
            match self.take_orphan(&run, !before.contains(&run)).await {
                Ok(is_taken) => taken += usize::from(is_taken),
                // It must not hold up the others; the next look tries it again.
                Err(error) => tracing::error!(%run, %error, "an orphaned run cannot be taken over"),
            }
        }
        Ok(taken)
    }

    /// Recovers now and again, until the server is told to stop.
    pub async fn keep_recovering(&self) {
        tokio::join!(self.shared.execute.sweep(), self.look_for_orphans());
    }

    /// Goes on with a run that no living owner holds. Answers false where one does, or where it has ended.
    ///
    /// # Errors
    /// When there is no such run, or the store fails.
    pub async fn resume(&self, run: &RunId) -> Result<bool, StoreError> {
        let _tracked = self.shared.tasks.token();
        let record = self.record(run).await?;
        self.queue_orphan(record).await
    }

    async fn look_for_orphans(&self) {
        let lease = self.shared.config.lease;
        let mut tick = tokio::time::interval(lease / LOOKS_PER_LEASE);
        let mut giving_back = tokio::time::interval(lease * LEASES_PER_GIVING_BACK);
        giving_back.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = &self.shared.closing.soon;
        while closing.run_until_cancelled(tick.tick()).await.is_some() {
            if giving_back.tick().now_or_never().is_some() {
                self.give_back().await;
            }
            match self.recover().await {
                Ok(0) => {}
                Ok(runs) => tracing::warn!(runs, "going on with runs that nobody owned any more"),
                Err(error) => tracing::error!(%error, "looking for orphaned runs failed"),
            }
        }
    }

    /// Gives back what is here of runs that another server has ended.
    async fn give_back(&self) {
        for run in self.shared.execute.leftovers() {
            // What has just ended here tidies up itself.
            if self.shared.active.contains(&run) {
                continue;
            }
            let record = self.shared.store.get(&run).await.ok().flatten();
            if record.is_some_and(|record| record.outcome.is_some()) {
                self.shared.execute.clean_up(&run).await;
            }
        }
    }

    /// Answers whether the run was taken over at once.
    async fn take_orphan(&self, run: &RunId, is_new: bool) -> Result<bool, StoreError> {
        let record = self.record(run).await?;
        if self.is_left_to_holder(&record).await? {
            return Ok(false);
        }
        if self.shared.execute.may_take_over(&record.request) {
            return self.queue_orphan(record).await;
        }
        if is_new {
            tracing::warn!(
                %run,
                "nobody is at work on this run of a local path, which a server may not go on with; \
                 `pullwright runs resume {run}` does"
            );
        }
        Ok(false)
    }

    /// Whose run it is, with what is allowed now.
    async fn owner(&self, name: Option<String>) -> Result<Caller, StoreError> {
        let max_concurrent = match (&self.shared.config.owners, &name) {
            (Some(owners), Some(name)) => owners.max_concurrent(name).await?,
            _ => None,
        };
        Ok(Caller {
            name,
            max_concurrent,
        })
    }

    async fn queue_orphan(&self, record: RunRecord) -> Result<bool, StoreError> {
        let caller = self.owner(record.owner).await?;
        let ticket = ticket(record.id, &record.request, caller);
        let seat = self.shared.line.readmit(ticket);
        if seat.has_place() {
            return self.take_over(seat).await;
        }
        let this = self.clone();
        self.shared.tasks.spawn(async move {
            let run = seat.run().clone();
            if let Err(error) = this.take_over_in_turn(seat).await {
                tracing::error!(%run, %error, "an orphaned run cannot be taken over");
            }
        });
        Ok(false)
    }

    /// Gives up the seat where somebody else was faster, or this server stops.
    async fn take_over_in_turn(&self, seat: Seat) -> Result<(), StoreError> {
        let mut orphans = self.shared.orphans.subscribe();
        let has_owner = orphans.wait_for(|orphans| !orphans.contains(seat.run()));
        tokio::select! {
            biased;
            () = self.shared.closing.soon.cancelled() => return Ok(()),
            _ = has_owner => return Ok(()),
            () = seat.place() => {}
        }
        self.take_over(seat).await.map(drop)
    }

    /// Answers false when somebody else was faster.
    async fn take_over(&self, seat: Seat) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let run = seat.run().clone();
        let lease = shared.config.lease;
        let epoch = match shared.store.claim(&run, &shared.worker, lease).await {
            Err(StoreError::Fenced(_)) => return Ok(false),
            claimed => claimed?,
        };
        let going_on = self.go_on(&run, epoch, seat).await;
        if going_on.is_err() {
            self.release(&run, epoch).await;
        }
        going_on.map(|()| true)
    }

    async fn go_on(&self, run: &RunId, epoch: Epoch, seat: Seat) -> Result<(), StoreError> {
        let store = self.shared.store.as_ref();
        let record = self.record(run).await?;
        let is_given_up = record.stalled_claims >= MAX_RESUMES;
        let was_given_up = record.stalled_claims > MAX_RESUMES;
        if was_given_up || is_given_up && record.last_seq == 0 {
            // There is nothing to save, or saving it is what its last server died of.
            self.shared.execute.clean_up(run).await;
            return given_up().write(store, run, epoch).await;
        }
        let mut owned = self.own(&record, epoch).await?;
        if !owned.is_resumed {
            let first = first_events(&record.request);
            owned.last_seq = first.len() as u64;
            store.append(run, epoch, first).await?;
        }
        self.launch(owned, None, seat);
        Ok(())
    }

    /// The run as this server owns it from now on.
    async fn own(&self, record: &RunRecord, epoch: Epoch) -> Result<OwnedRun, StoreError> {
        let cancel = CancellationToken::new();
        if record.cancel_requested {
            cancel.cancel();
        }
        Ok(OwnedRun {
            id: record.id.clone(),
            request: record.request.clone(),
            epoch,
            last_seq: record.last_seq,
            is_resumed: record.last_seq > 0,
            is_given_up: record.stalled_claims >= MAX_RESUMES,
            token: self.token_of(record).await?,
            cancel,
            hand_over: self.shared.closing.hand_over(),
        })
    }

    pub(super) async fn record(&self, run: &RunId) -> Result<RunRecord, StoreError> {
        let record = self.shared.store.get(run).await?;
        record.ok_or_else(|| StoreError::UnknownRun(run.clone()))
    }
}

fn given_up() -> Ending {
    Ending {
        outcome: Outcome::Failed(FailureKind::Interrupted),
        why: GIVEN_UP,
    }
}

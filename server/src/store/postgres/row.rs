//! A run's row while a transaction holds it: who owns it, and what an owner may do.

use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::{Outcome, RunId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use crate::store::op::EVENTS_OF_A_CLAIM;

/// What a change to a run reads or writes.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) epoch: i64,
    pub(super) last_seq: i64,
    pub(super) worker: Option<String>,
    pub(super) leased_until_ms: i64,
    pub(super) cancel_requested: bool,
    pub(super) outcome: Option<String>,
    pub(super) finished_at_ms: Option<i64>,
    /// How far it had come when it was last claimed.
    pub(super) claimed_seq: i64,
    pub(super) stalled_claims: i64,
    /// The database's clock once the row was held.
    pub(super) now_ms: i64,
    pub(super) changed: bool,
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            epoch: row.try_get("epoch")?,
            last_seq: row.try_get("last_seq")?,
            worker: row.try_get("worker")?,
            leased_until_ms: row.try_get("leased_until_ms")?,
            cancel_requested: row.try_get("cancel_requested")?,
            outcome: row.try_get("outcome")?,
            finished_at_ms: row.try_get("finished_at_ms")?,
            claimed_seq: row.try_get("claimed_seq")?,
            stalled_claims: row.try_get("stalled_claims")?,
            now_ms: row.try_get("now_ms")?,
            changed: false,
        })
    }
}

impl Row {
    pub(super) fn run(&self) -> RunId {
        RunId(self.id.clone())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn is_owned_by(&self, epoch: Epoch) -> bool {
        self.epoch == epoch.0.cast_signed()
    }

    /// Refuses everybody but the owner, and the owner too once the run has ended.
    pub(super) fn fence(&self, epoch: Epoch) -> Result<(), StoreError> {
        if self.has_ended() || !self.is_owned_by(epoch) {
            return Err(StoreError::Fenced(self.run()));
        }
        Ok(())
    }

    /// Takes the run. `before` is the epoch of a try whose answer was lost.
    pub(super) fn claim(
        &mut self,
        worker: &str,
        lease_ms: i64,
        now_ms: i64,
        before: Option<Epoch>,
    ) -> Result<Epoch, StoreError> {
        let ours =
            |epoch: &Epoch| self.is_owned_by(*epoch) && self.worker.as_deref() == Some(worker);
        if let Some(epoch) = before.filter(ours) {
            return Ok(epoch);
        }
        let is_owned = self.epoch > 0 && self.leased_until_ms > now_ms;
        if self.has_ended() || is_owned {
            return Err(StoreError::Fenced(self.run()));
        }
        self.epoch += 1;
        self.stalled_claims = match self.has_stalled() {
            true => self.stalled_claims + 1,
            false => 0,
        };
        self.claimed_seq = self.last_seq;
        self.worker = Some(worker.to_owned());
        self.lease(lease_ms, now_ms);
        Ok(Epoch(self.epoch.cast_unsigned()))
    }

    /// Whether its owner died and had brought it no further. One that let go of it is none any more.
    fn has_stalled(&self) -> bool {
        self.worker.is_some() && self.last_seq <= self.claimed_seq + EVENTS_OF_A_CLAIM
    }

    fn lease(&mut self, lease_ms: i64, now_ms: i64) {
        self.leased_until_ms = now_ms.saturating_add(lease_ms);
        self.changed = true;
    }

    /// Extends the owner's lease. One that comes after its owner has let go of the run keeps nobody from it, and
    /// brings it to nobody.
    pub(super) fn extend(&mut self, lease_ms: i64, now_ms: i64) {
        if self.worker.is_some() {
            self.lease(lease_ms, now_ms);
        }
    }

    pub(super) fn let_go(&mut self) {
        self.worker = None;
        self.leased_until_ms = 0;
        self.changed = true;
    }

    /// Leaves a lease without an owner: nobody may claim the run before it is over. One that is to end waits for
    /// nothing.
    pub(super) fn park(&mut self, wait_ms: i64, now_ms: i64) {
        self.let_go();
        if !self.cancel_requested {
            self.lease(wait_ms, now_ms);
        }
    }

    fn is_parked(&self) -> bool {
        self.worker.is_none() && self.epoch > 0 && !self.has_ended()
    }

    pub(super) fn grow(&mut self, events: usize) {
        self.last_seq += i64::try_from(events).unwrap_or(i64::MAX);
        self.changed = true;
    }

    /// Nobody owns a run that has ended.
    pub(super) fn end(&mut self, outcome: Outcome, now_ms: i64) {
        self.outcome = Some(outcome.to_string());
        self.finished_at_ms = Some(now_ms);
        self.let_go();
    }

    pub(super) fn cancel(&mut self) -> bool {
        let live = !self.has_ended();
        self.changed |= live && !self.cancel_requested;
        self.cancel_requested |= live;
        if self.is_parked() {
            self.let_go();
        }
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn row() -> Row {
        Row {
            id: "run".to_owned(),
            epoch: 0,
            last_seq: 0,
            worker: None,
            leased_until_ms: 0,
            cancel_requested: false,
            outcome: None,
            finished_at_ms: None,
            claimed_seq: 0,
            stalled_claims: 0,
            now_ms: NOW,
            changed: false,
        }
    }

    #[test]
    fn a_claim_whose_answer_was_lost_is_answered_once_more() {
        let mut row = row();
        let epoch = row.claim("me", 1000, NOW, None).unwrap();
        assert!(row.claim("me", 1000, NOW, None).is_err(), "it is leased");
        assert_eq!(row.claim("me", 1000, NOW, Some(epoch)).unwrap(), epoch);
        assert!(row.claim("other", 1000, NOW, Some(epoch)).is_err());
        let later = row.claim("other", 1000, NOW + 1000, None).unwrap();
        assert!(later > epoch);
        assert!(row.claim("me", 1000, NOW + 1000, Some(epoch)).is_err());
    }

    #[test]
    fn a_run_that_has_ended_is_nobody_s() {
        let mut row = row();
        let epoch = row.claim("me", i64::MAX, NOW, None).unwrap();
        assert!(row.fence(epoch).is_ok());
        assert!(row.cancel());
        row.end(Outcome::NoChanges, NOW);
        assert!(row.fence(epoch).is_err());
        assert!(row.claim("me", 0, NOW, None).is_err());
        assert!(!row.cancel());
    }
}

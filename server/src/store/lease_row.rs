//! A run's lease, as a row has it.

/// A run's lease, as a row has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseRow {
    pub(super) has_worker: bool,
    pub(super) epoch: i64,
    pub(super) until_ms: i64,
}

impl LeaseRow {
    /// Until when the run was put aside, if it was: then it has a lease and, though it was claimed before, no owner.
    pub(super) fn parked_until_ms(self, is_live: bool) -> Option<u64> {
        let is_parked = is_live && !self.has_worker && self.epoch > 0 && self.until_ms > 0;
        is_parked.then_some(self.until_ms.cast_unsigned())
    }
}

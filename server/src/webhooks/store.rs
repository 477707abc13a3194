//! The seam to where deliveries live: beside the runs.

use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;

/// How the outcome of a delivery begins that was tried too often: it may come again.
pub const GIVEN_UP: &str = "given up: ";

/// Where deliveries live, and which of our runs a pull request or a commit is of.
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// Keeps a delivery, due at once. Answers false where it is known: one with the same id, or the same
    /// content under another id, which whoever has seen it may have chosen. One that was given up ([`GIVEN_UP`])
    /// is due again instead, as if it were new.
    async fn accept(&self, new: &NewDelivery) -> Result<bool, StoreError>;

    /// Takes at most `limit` deliveries that are due, the oldest first: nobody else gets them for `lease`.
    async fn take_due(
        &self,
        phase: Phase,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Makes a delivery due after `wait`, and not before: a lease that goes on, or another attempt.
    async fn put_off(&self, id: &str, wait: Duration) -> Result<(), StoreError>;

    /// The same for one that only waits: that it was taken counts as no attempt.
    async fn put_off_uncounted(
        &self,
        delivery: &Delivery,
        wait: Duration,
    ) -> Result<(), StoreError>;

    /// Notes the run that a delivery has started: what is left is to tell of it. Answers false where another
    /// delivery tells of the same run.
    async fn started(&self, id: &str, run: &RunId) -> Result<bool, StoreError>;

    /// Notes how a delivery ended: nothing is left to do for it.
    async fn settle(&self, id: &str, outcome: &str) -> Result<(), StoreError>;

    /// Forgets those that are settled and came before `before_ms` (milliseconds since the Unix epoch).
    async fn forget_deliveries(&self, before_ms: u64) -> Result<(), StoreError>;

    /// The last run that has opened, or brought up to date, the pull request at this page.
    async fn proposed_by(&self, page: &str) -> Result<Option<RunId>, StoreError>;

    /// The run that has pushed this commit.
    async fn pushed_by(&self, commit: &str) -> Result<Option<RunId>, StoreError>;
}

/// A delivery to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id among all senders' deliveries.
    pub id: String,
    /// A hash of its content.
    pub digest: [u8; 32],
    /// What it asks for, as JSON.
    pub asked: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What is left to do for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What it asks for.
    Do,
    /// To tell of the run that it has started.
    Tell,
}

/// A delivery that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// The hash of its content.
    pub digest: Vec<u8>,
    /// What it asks for, as JSON.
    pub asked: String,
    /// The run that it has started, if it has.
    pub run: Option<RunId>,
    /// How often it was taken in its phase, this time included.
    pub attempts: u64,
}

//! The store seam: where runs and their events live.
//!
//! A run is owned by exactly one worker at a time; the owner numbers its events, and every write
//! carries the owner's epoch, so that a worker that lost its run cannot write to it any more.

mod listing;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_protocol::{LoggedEvent, Outcome, RunId, RunRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use listing::{OutcomeFilter, RunFilter, RunPlace};

/// Where runs and their events live.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Creates a run, or finds the one that the same idempotency key made before, or the one that follows
    /// the same run already.
    async fn create(&self, new: NewRun) -> Result<Created, StoreError>;

    /// Takes ownership of a run whose lease is free or has expired.
    async fn claim(&self, run: &RunId, worker: &str, lease: Duration) -> Result<Epoch, StoreError>;

    /// Extends the owner's lease. One of no length lets go of the run: anybody may claim it at once, and
    /// the owner is not taken for dead. One that comes after that changes nothing.
    async fn heartbeat(&self, run: &RunId, epoch: Epoch, lease: Duration)
    -> Result<(), StoreError>;

    /// Lets go of the run until `wait` has passed: before, nobody may claim it, unless somebody cancels it. The
    /// owner is not taken for dead.
    async fn park(&self, run: &RunId, epoch: Epoch, wait: Duration) -> Result<(), StoreError>;

    /// Commits events. They are durable, and visible to [`RunStore::read`], when this returns. Events
    /// that the same owner has committed already are not committed again, and are no error: after a
    /// failure, the same call is the way to find out.
    async fn append(
        &self,
        run: &RunId,
        epoch: Epoch,
        events: Vec<LoggedEvent>,
    ) -> Result<(), StoreError>;

    /// The committed events after `after`, at most `limit`, in order.
    async fn read(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError>;

    /// A hint that something new may be there: the last committed number known here. Read,
    /// subscribe, read again.
    fn watch(&self, run: &RunId) -> watch::Receiver<u64>;

    /// Stores the run's patch, replacing an earlier one.
    async fn put_patch(&self, run: &RunId, epoch: Epoch, patch: &[u8]) -> Result<(), StoreError>;

    /// Removes the run's patch, if it has one.
    async fn remove_patch(&self, run: &RunId, epoch: Epoch) -> Result<(), StoreError>;

    /// The run's patch, if it has one.
    async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Commits the last event (`Done`) and ends the run, in one step. Like [`RunStore::append`], it
    /// may be repeated.
    async fn finish(
        &self,
        run: &RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<(), StoreError>;

    /// Notes that somebody wants the run to end. Answers false when it has ended already.
    async fn cancel(&self, run: &RunId) -> Result<bool, StoreError>;

    /// Leaves a message for the model of a run that has not ended. The same message again is the same one.
    async fn post(&self, message: NewMessage) -> Result<Posted, StoreError>;

    /// The messages that were left for a run, in the order of their numbers.
    async fn messages(&self, run: &RunId) -> Result<Vec<Message>, StoreError>;

    /// A message by its name, and the run that it was left for.
    async fn message(&self, id: &str) -> Result<Option<(RunId, Message)>, StoreError>;

    /// The run that follows this one, if there is one.
    async fn follower(&self, run: &RunId) -> Result<Option<RunId>, StoreError>;

    /// The run that an owner's idempotency key made, if it made one.
    async fn keyed(&self, owner: Option<&str>, key: &str) -> Result<Option<RunId>, StoreError>;

    /// What is known of a run.
    async fn get(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// The runs of `filter` that come after `after` in the list, newest first, at most `limit`.
    async fn page(
        &self,
        filter: &RunFilter,
        after: Option<&RunPlace>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError>;

    /// The latest runs, newest first.
    async fn list(&self, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        self.page(&RunFilter::default(), None, limit).await
    }

    /// The sealed token of a run that has not ended, if it has one.
    async fn token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Runs that have not ended and that no living worker owns.
    async fn orphans(&self) -> Result<Vec<RunId>, StoreError>;
}

/// The number of an ownership: it grows each time a run is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// A run to create.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What was asked for. If it follows a run, nobody else does so.
    pub request: RunRequest,
    /// Who asked for it: the name of an API key. Absent where there are no keys.
    pub owner: Option<String>,
    /// The owner's idempotency key: the same key of another owner is another one. Runs without an
    /// owner have one owner in common.
    pub idempotency_key: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The caller's token, sealed. It is kept until the run ends.
    pub sealed_token: Option<Vec<u8>>,
}

/// What [`RunStore::create`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The run is new.
    New,
    /// The same key and the same request made this run before.
    Joined(RunId),
    /// The same key came before with another request.
    KeyReused,
    /// This run follows the same one already: of each, there is at most one.
    FollowedBy(RunId),
}

/// The most messages that are taken for one run: each is sent with every reply that follows.
pub const MAX_MESSAGES: usize = 100;

/// A message to leave for a run's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Names it among all messages.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// What is said.
    pub text: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What [`RunStore::post`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The message has this number.
    Accepted(u64),
    /// The run has ended.
    Ended,
    /// The run has [`MAX_MESSAGES`] already.
    Full,
}

/// A message that was left for a run's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number, unique among all messages.
    pub number: u64,
    /// What is said.
    pub text: String,
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// What was asked for.
    pub request: RunRequest,
    /// The name of the API key that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub finished_at_ms: Option<u64>,
    /// How it ended; absent while it runs.
    pub outcome: Option<Outcome>,
    /// Whether somebody asked for it to end.
    pub cancel_requested: bool,
    /// The number of its last committed event.
    pub last_seq: u64,
    /// How often in a row it was claimed from an owner that had died and had brought it no further.
    #[serde(skip)]
    pub stalled_claims: u64,
    /// Until when nobody works on it, in milliseconds since the Unix epoch, because its forge asked to come back
    /// later; absent where it was not put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_until_ms: Option<u64>,
    /// How its events and its patch left the store; absent while they are there. What this record says
    /// stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retired>,
}

/// How the events and the patch of a run that ended long ago left the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retired {
    /// They were written to an archive before.
    Archived,
    /// They are gone.
    Removed,
}

impl Retired {
    /// The name in a store and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archived => "archived",
            Self::Removed => "removed",
        }
    }
}

impl FromStr for Retired {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "archived" => Ok(Self::Archived),
            "removed" => Ok(Self::Removed),
            other => Err(format!("unknown way to retire a run `{other}`")),
        }
    }
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another worker owns the run now.
    #[error("run {0} is owned by another worker")]
    Fenced(RunId),
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The database failed.
    #[error("the run store failed while {what}: {failure}: {source}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What that means for whoever tried it.
        failure: StoreFailure,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a failure of the database means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// It cannot be reached, is starting or stopping, or has too much to do. The same call may
    /// succeed later.
    #[error("the database cannot be reached or is busy")]
    Unreachable,
    /// There is no room left. What is written now is refused; what was written is safe.
    #[error("the database has no room left")]
    Full,
    /// It can be read and not written.
    #[error("the database is read-only")]
    ReadOnly,
    /// It refuses what was asked, and will again.
    #[error("it was refused")]
    Refused,
}

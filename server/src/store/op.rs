//! The changes a store is asked for, and what they answer.

use std::time::Duration;

use pullwright_core::store::{Created, Epoch, NewRun, Retired, StoreError};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};

use super::failure::refused;

/// How long a new run waits for its creator to claim it, before it is one that nobody owns.
pub(super) const NEW_RUN_LEASE: Duration = Duration::from_secs(60);

/// How many events say only that somebody took the run over. An owner who wrote no more has not brought it
/// further.
pub(super) const EVENTS_OF_A_CLAIM: i64 = 2;

/// How many events one step of [`Op::Retire`] removes: a group takes it along without a delay that a run
/// under way would feel.
pub(super) const RETIRED_EVENTS: i64 = 256;

/// A change to the store.
#[derive(Debug)]
pub(super) enum Op {
    Create(Box<NewRun>),
    Claim {
        run: RunId,
        worker: String,
        lease: Duration,
    },
    Heartbeat {
        run: RunId,
        epoch: Epoch,
        lease: Duration,
    },
    Park {
        run: RunId,
        epoch: Epoch,
        wait: Duration,
    },
    /// Appends events and, with an outcome, ends the run.
    Append {
        run: RunId,
        epoch: Epoch,
        events: Vec<EventRow>,
        outcome: Option<Outcome>,
    },
    /// Stores the run's patch, or removes it.
    SetPatch {
        run: RunId,
        epoch: Epoch,
        patch: Option<Vec<u8>>,
    },
    Cancel(RunId),
    /// Takes a step in removing the events and the patch of an ended run.
    Retire {
        run: RunId,
        how: Retired,
    },
    /// Takes a step in giving freed space back.
    GiveBack,
}

/// What a change answers.
#[derive(Debug)]
pub(super) enum Reply {
    Created(Created),
    Claimed(Epoch),
    Cancelled(bool),
    /// Whether there is more of the same to do.
    More(bool),
    Done,
}

/// An event, and its JSON as stored.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) logged: LoggedEvent,
    pub(super) json: String,
}

impl EventRow {
    fn of(logged: LoggedEvent) -> Result<Self, StoreError> {
        let json = serde_json::to_string(&logged.event).map_err(refused("encoding an event"))?;
        Ok(Self { logged, json })
    }

    /// As databases count.
    pub(super) fn number(&self) -> i64 {
        self.logged.seq.cast_signed()
    }

    pub(super) fn at(&self) -> i64 {
        self.logged.at_ms.cast_signed()
    }
}

impl Op {
    pub(super) fn append(
        run: RunId,
        epoch: Epoch,
        events: Vec<LoggedEvent>,
    ) -> Result<Self, StoreError> {
        let events = events
            .into_iter()
            .map(EventRow::of)
            .collect::<Result<_, _>>()?;
        Ok(Self::Append {
            run,
            epoch,
            events,
            outcome: None,
        })
    }

    pub(super) fn finish(
        run: RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<Self, StoreError> {
        Ok(Self::Append {
            run,
            epoch,
            events: vec![EventRow::of(done)?],
            outcome: Some(outcome),
        })
    }

    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Create(_) => "creating a run",
            Self::Claim { .. } => "claiming a run",
            Self::Heartbeat { .. } => "extending a lease",
            Self::Park { .. } => "putting a run aside",
            Self::Append { outcome: None, .. } => "appending events",
            Self::Append { .. } => "ending a run",
            Self::SetPatch { patch: None, .. } => "removing a patch",
            Self::SetPatch { .. } => "storing a patch",
            Self::Cancel(_) => "cancelling a run",
            Self::Retire { .. } => "retiring a run",
            Self::GiveBack => "giving freed space back",
        }
    }

    /// The run that is changed; a new one is none yet.
    pub(super) fn run(&self) -> Option<&str> {
        match self {
            Self::Create(_) | Self::GiveBack => None,
            Self::Claim { run, .. }
            | Self::Heartbeat { run, .. }
            | Self::Park { run, .. }
            | Self::Append { run, .. }
            | Self::SetPatch { run, .. }
            | Self::Retire { run, .. }
            | Self::Cancel(run) => Some(&run.0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { events, .. } => events.iter().map(|event| event.json.len()).sum(),
            Self::SetPatch { patch, .. } => patch.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }
}

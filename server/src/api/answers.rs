//! The bodies of answers.

use pullwright_core::store::RunRecord;
use pullwright_protocol::{LoggedEvent, RunId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Audited;

/// A run was started, or joined by its idempotency key.
#[derive(Serialize, JsonSchema)]
pub(super) struct RunAccepted {
    /// The run.
    pub(super) id: RunId,
    /// Whether an earlier request started it.
    pub(super) joined: bool,
}

/// A run was asked to end.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelAccepted {
    /// The run.
    pub(super) id: RunId,
    /// Always true.
    pub(super) cancel_requested: bool,
}

/// A message was taken: by a model at work, or as the task of a run that follows one that has ended.
#[derive(Serialize, JsonSchema)]
pub(super) struct MessageAccepted {
    /// The run that takes it: the one named, or the last that follows it.
    pub(super) id: RunId,
    /// The message's number; later ones have greater ones. Absent where a run was started for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
    /// The ended run that the run follows which was started for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) follows: Option<RunId>,
}

impl MessageAccepted {
    /// A model at work hears it.
    pub(super) fn heard(id: RunId, number: u64) -> Self {
        Self {
            id,
            number: Some(number),
            follows: None,
        }
    }

    /// A run was started for it.
    pub(super) fn started(id: RunId, follows: RunId) -> Self {
        Self {
            id,
            number: None,
            follows: Some(follows),
        }
    }
}

/// A delivery of a webhook is taken.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeliveryTaken {
    /// Its id.
    pub(super) id: String,
    /// What becomes of it.
    pub(super) status: DeliveryStatus,
    /// Why nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
}

/// What becomes of a delivery.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryStatus {
    /// What it asks for will be done.
    Accepted,
    /// It came before, and is done once.
    Known,
    /// It asks for nothing.
    Ignored,
}

/// A page of runs, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct RunPage {
    /// The runs.
    pub(super) runs: Vec<RunRecord>,
    /// What `after` has to be for the next page; null on the last one.
    pub(super) next: Option<String>,
}

/// A page of the record of who did what when, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditPage {
    /// The entries.
    pub(super) entries: Vec<Audited>,
    /// What `after` has to be for the next page; null on the last one.
    pub(super) next: Option<String>,
}

/// A page of a run's events, oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct EventPage {
    /// The events; none where nothing has happened since.
    pub(super) events: Vec<LoggedEvent>,
    /// What `from` has to be for the next page; null once the run has ended and nothing follows.
    pub(super) next: Option<u64>,
}

/// The server is there.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`, or `ready` where readiness was asked for.
    pub(super) status: &'static str,
}

/// What runs here.
#[derive(Serialize, JsonSchema)]
pub(super) struct Version {
    /// The program's name.
    pub(super) name: &'static str,
    /// Its version, as in <https://semver.org>.
    pub(super) version: &'static str,
    /// The commit it was built from, where the build said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<&'static str>,
}

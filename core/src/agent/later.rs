//! What holds a run up for a while.

use std::time::Duration;

use pullwright_protocol::FailureKind;

/// What holds a run up for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// How long to wait, at least.
    pub wait: Duration,
    /// What is waited for, in a sentence.
    pub reason: String,
    /// What kind of failure it is where it is not waited for.
    pub kind: FailureKind,
    /// Whether the code host is out of order, so that nobody knows how long it takes.
    pub is_outage: bool,
}

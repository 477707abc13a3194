//! What became of a message that was left.

use pullwright_core::store::{Posted, RunRecord, StoreError};
use pullwright_protocol::RunId;

/// Why the message has no number, where it has none, by what is known of its run.
pub(super) fn posted(
    number: Option<u64>,
    run: &RunId,
    record: Option<RunRecord>,
) -> Result<Posted, StoreError> {
    match (number, record) {
        (Some(number), _) => Ok(Posted::Accepted(number)),
        (None, None) => Err(StoreError::UnknownRun(run.clone())),
        (None, Some(record)) if record.outcome.is_some() => Ok(Posted::Ended),
        (None, Some(_)) => Ok(Posted::Full),
    }
}

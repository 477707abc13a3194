//! Holds a replay against its recording.

use pullwright_protocol::{Event, FailureKind, Outcome};

use super::facts;
use super::model::RecordedModels;
use super::plain::{Difference, Plain};
use super::recording::{Recording, workspace_of};

/// What a run's own folder and id are called where texts are compared.
pub(super) const WORKSPACE: &str = "<workspace>";
pub(super) const RUN: &str = "<run>";

/// What is a recorded run's own.
pub(super) fn own(recording: &Recording) -> Plain {
    let mut plain = Plain::default();
    if let Some(workspace) = workspace_of(recording.first_item()) {
        plain.add(workspace, WORKSPACE);
    }
    if let Some(run) = &recording.run {
        plain.add(&run.0, RUN);
    }
    plain
}

/// In what a run differs from its recording. `would_push` says whether it had a change to push.
pub(super) fn differences(
    recording: &Recording,
    now: &[Event],
    models: &RecordedModels,
    would_push: bool,
    [recorded_plain, now_plain]: [Plain; 2],
) -> Vec<Difference> {
    let outcome = match now.last() {
        Some(Event::Done { outcome, .. }) => *outcome,
        _ => Outcome::Cancelled,
    };
    let then = facts::ended(recording.outcome);
    let ended = match (would_push, models.exhausted().is_cancelled()) {
        (true, _) if recording.outcome != Outcome::PatchOnly => facts::ended(Outcome::BranchOnly),
        // What ended the run came from outside, where its recording ends.
        (_, true) if is_stopped(recording.outcome) => then.clone(),
        (_, true) => "a request that the recording has no answer to".to_owned(),
        _ => facts::ended(outcome),
    };
    let recorded = facts::facts(&recording.events, &recorded_plain, &then);
    let now = facts::facts(now, &now_plain, &ended);
    let differs = facts::compare(&recorded, &now);
    models.difference().into_iter().chain(differs).collect()
}

fn is_stopped(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Cancelled | Outcome::BudgetReached | Outcome::Failed(FailureKind::Interrupted)
    )
}

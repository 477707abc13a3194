//! What a run did on another commit than the one it worked on, which a replay does not: nothing moves there.

use pullwright_protocol::{CheckPhase, Event};

/// The events without checks of the change where its base branch had moved to.
pub(super) fn without_checks_elsewhere(events: Vec<Event>) -> Vec<Event> {
    let mut kept = None;
    let is_here = |event: &Event| {
        match event {
            Event::PatchStored {
                tree,
                during_work: false,
                ..
            } => kept = Some(tree.clone()),
            Event::PatchRemoved => kept = None,
            Event::Checked { report } if report.phase == CheckPhase::After => {
                return kept.as_ref().is_none_or(|tree| *tree == report.tree);
            }
            _ => {}
        }
        true
    };
    events.into_iter().filter(is_here).collect()
}

#[cfg(test)]
mod tests {
    use pullwright_protocol::CheckReport;

    use super::*;

    fn checked(tree: &str) -> Event {
        Event::Checked {
            report: CheckReport {
                command: "true".to_owned(),
                exit_code: Some(0),
                duration_ms: 1,
                tree: tree.to_owned(),
                phase: CheckPhase::After,
                output_tail: String::new(),
            },
        }
    }

    #[test]
    fn only_checks_of_the_work_as_it_was_made_are_left() {
        let stored = Event::PatchStored {
            bytes: 1,
            files: 1,
            tree: "made".to_owned(),
            during_work: false,
        };
        let events = vec![
            checked("base"),
            stored.clone(),
            checked("made"),
            checked("moved"),
        ];
        let left = without_checks_elsewhere(events);
        assert_eq!(left, [checked("base"), stored, checked("made")]);
    }
}

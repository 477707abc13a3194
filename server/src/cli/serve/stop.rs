//! What a stopping server says of its runs.

use std::time::Duration;

use crate::runs::{Parted, Patience};

/// How long runs have to stop once they are interrupted.
const INTERRUPTED_GRACE: Duration = Duration::from_secs(15);

pub(super) fn patience(grace: Duration) -> Patience {
    Patience {
        soon: grace,
        now: INTERRUPTED_GRACE,
    }
}

pub(super) fn begun(runs: usize, grace: Duration) -> String {
    match runs {
        0 => "stopping; no run is under way".to_owned(),
        _ => format!(
            "stopping; waiting up to {} s for {} to end or to be handed over; \
             a second signal ends at once",
            grace.as_secs(),
            counted(runs)
        ),
    }
}

/// Nothing where all runs have ended.
pub(super) fn done(parted: Parted) -> Vec<String> {
    let mut said = Vec::new();
    if parted.handed_over > 0 {
        let runs = counted(parted.handed_over);
        said.push(format!(
            "handed over {runs}: another server goes on, or the next start"
        ));
    }
    if parted.abandoned > 0 {
        let runs = counted(parted.abandoned);
        said.push(format!(
            "left {runs} that did not stop in time: another server or the next start goes on once the \
             lease has run out"
        ));
    }
    said
}

fn counted(runs: usize) -> String {
    match runs {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_becomes_of_the_runs() {
        let grace = Duration::from_secs(30);
        assert_eq!(begun(0, grace), "stopping; no run is under way");
        assert!(begun(1, grace).contains("up to 30 s for 1 run to end"));
        let none = Parted {
            handed_over: 0,
            abandoned: 0,
        };
        assert!(done(none).is_empty());
        let said = done(Parted {
            handed_over: 2,
            abandoned: 1,
        });
        assert!(said[0].starts_with("handed over 2 runs: "), "{said:?}");
        assert!(said[1].starts_with("left 1 run that "), "{said:?}");
    }
}

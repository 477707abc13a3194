//! How fast places become free, which tells a caller who found none when to come back.

use std::collections::VecDeque;
use std::time::Duration;

/// How many of the latest runs are looked at.
const LATEST_RUNS: usize = 32;

/// What is said before any run has ended.
const UNKNOWN_WAIT: Duration = Duration::from_secs(30);

/// Nobody is told to come back sooner or later than this.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How long the latest runs were under way.
#[derive(Debug, Default)]
pub(super) struct Pace {
    latest: VecDeque<Duration>,
}

impl Pace {
    pub(super) fn ended(&mut self, after: Duration) {
        if self.latest.len() == LATEST_RUNS {
            self.latest.pop_front();
        }
        self.latest.push_back(after);
    }

    /// About how long it takes until one of so many runs ends.
    pub(super) fn next_end(&self, under_way: usize) -> Duration {
        let Ok(known @ 1..) = u32::try_from(self.latest.len()) else {
            return UNKNOWN_WAIT;
        };
        let mean = self.latest.iter().sum::<Duration>() / known;
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX).max(1);
        (mean / under_way).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_wait_is_a_share_of_the_latest_runs_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.next_end(4), UNKNOWN_WAIT);
        pace.ended(2 * MINUTE);
        pace.ended(6 * MINUTE);
        assert_eq!(pace.next_end(1), 4 * MINUTE);
        assert_eq!(pace.next_end(4), MINUTE);
        assert_eq!(pace.next_end(0), 4 * MINUTE);
        assert_eq!(pace.next_end(10_000), SHORTEST_WAIT);
        for _ in 0..LATEST_RUNS {
            pace.ended(60 * MINUTE);
        }
        assert_eq!(
            pace.next_end(1),
            LONGEST_WAIT,
            "the first ones are forgotten"
        );
        assert_eq!(pace.next_end(10), 6 * MINUTE);
    }
}

//! How often, and after which pause, a server that died is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pause before the first attempt; each further one within the window doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How many attempts are made within the window: a server that keeps dying would otherwise be started
/// for as long as the run lasts.
pub(super) const MAX_RESTARTS: usize = 5;

/// The window.
pub(super) const RESTART_WINDOW: Duration = Duration::from_secs(600);

/// The attempts of late.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    attempts: VecDeque<Instant>,
}

impl Restarts {
    /// The pause before the next attempt; nothing when there were too many.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        let old = |at: &Instant| now.duration_since(*at) > RESTART_WINDOW;
        while self.attempts.front().is_some_and(old) {
            self.attempts.pop_front();
        }
        if self.attempts.len() == MAX_RESTARTS {
            return None;
        }
        let doublings = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        self.attempts.push_back(now);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
        Some(pause.min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_and_begin_anew() {
        let mut restarts = Restarts::default();
        let start = Instant::now();
        let pauses: Vec<_> = std::iter::from_fn(|| restarts.next(start)).collect();
        let millis: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600]);
        let later = start + RESTART_WINDOW + Duration::from_secs(1);
        assert_eq!(restarts.next(later), Some(FIRST_PAUSE));
    }
}

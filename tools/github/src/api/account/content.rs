//! How fast an account may create content: GitHub allows 80 requests a minute and 500 an hour, and asks for a
//! second between two of them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const IN_A_MINUTE: usize = 80;
const IN_AN_HOUR: usize = 500;

/// When content was created.
#[derive(Default)]
pub(in crate::api) struct Content(Mutex<VecDeque<Instant>>);

impl Content {
    /// Books a request for now, or says how long to wait before asking again.
    pub(in crate::api) fn book(&self, pause: Duration) -> Result<(), Duration> {
        self.book_at(Instant::now(), pause)
    }

    /// Whether something was created within the hour.
    pub(super) fn was_created(&self) -> bool {
        lock(&self.0)
            .back()
            .is_some_and(|last| last.elapsed() < HOUR)
    }

    fn book_at(&self, now: Instant, pause: Duration) -> Result<(), Duration> {
        let mut booked = lock(&self.0);
        while booked
            .front()
            .is_some_and(|first| now.duration_since(*first) >= HOUR)
        {
            booked.pop_front();
        }
        // A request is too early as long as it comes too soon after one of these.
        let bounds = [(1, pause), (IN_A_MINUTE, MINUTE), (IN_AN_HOUR, HOUR)];
        let waits = bounds.into_iter().filter_map(|(back, span)| {
            let at = booked.len().checked_sub(back)?;
            span.checked_sub(now.duration_since(*booked.get(at)?))
        });
        match waits.max().filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                booked.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_requests_are_a_second_apart() {
        let (content, now) = (Content::default(), Instant::now());
        assert_eq!(content.book_at(now, SECOND), Ok(()));
        assert_eq!(
            content.book_at(now + SECOND / 4, SECOND),
            Err(SECOND * 3 / 4)
        );
        assert_eq!(content.book_at(now + SECOND, SECOND), Ok(()));
    }

    #[test]
    fn a_minute_and_an_hour_hold_so_many() {
        let (content, now) = (Content::default(), Instant::now());
        let mut at = now;
        for _ in 0..IN_AN_HOUR {
            while let Err(wait) = content.book_at(at, Duration::ZERO) {
                at += wait;
            }
        }
        // Six minutes' worth and a part of the seventh.
        assert_eq!(at - now, MINUTE * 6);
        assert_eq!(content.book_at(at, Duration::ZERO), Err(HOUR - MINUTE * 6));
        assert_eq!(content.book_at(now + HOUR, Duration::ZERO), Ok(()));
    }
}

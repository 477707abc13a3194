//! When to look how much disk a sandbox uses.
//!
//! A look at every file costs; the free space of the file system costs nothing, though others use
//! it too. So a sandbox is looked at when the free space has shrunk by a good part of what the
//! sandbox may still use, and now and then in case somebody else gave back what it took.

use std::time::Duration;

/// The part of what is left whose loss is worth a look.
const PART: u64 = 4;
/// The least part of the limit that is worth a look; without it, looks would never end near the
/// limit.
const LEAST_PART: u64 = 64;

/// The time between two looks while the free space shrinks.
const ACTIVE_INTERVAL: Duration = Duration::from_secs(60);
/// The time between two looks while it does not.
const IDLE_INTERVAL: Duration = Duration::from_secs(600);
/// A look is not repeated for this many times what it took, so that a sandbox of very many files
/// does not spend its time being looked at; not for as long where the limit may be reached.
const REST: u32 = 4;
const SHORT_REST: u32 = 1;
/// The same for looks that nothing calls for.
const IDLE_REST: u32 = 50;

/// No disk takes more bytes in a second.
const FASTEST: u64 = 4 << 30;
/// The time between two looks at the free space.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask again after this time.
    Sleep(Duration),
    /// Look how much is used, and tell by [`Watch::walked`].
    Walk,
    /// The sandbox uses more than it may.
    Exceeded,
}

/// Watches one sandbox.
#[derive(Clone, Debug)]
pub struct Watch {
    limit: u64,
    walked: Option<Walked>,
}

#[derive(Clone, Debug)]
struct Walked {
    used: u64,
    free: u64,
    took: Duration,
}

impl Watch {
    /// Of a sandbox that may use `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            walked: None,
        }
    }

    /// What to do while the file system has `free` bytes left, `since` the end of the last look.
    #[must_use]
    pub fn next(&self, free: u64, since: Duration) -> Step {
        let Some(walked) = &self.walked else {
            return Step::Walk;
        };
        let Some(left) = self.limit.checked_sub(walked.used) else {
            return Step::Exceeded;
        };
        let gone = walked.free.saturating_sub(free);
        let due = self.due(left, gone, walked.took);
        match due.checked_sub(since) {
            None | Some(Duration::ZERO) => Step::Walk,
            Some(wait) => Step::Sleep(wait.min(self.pause(left, gone))),
        }
    }

    /// A look, which took `took`, has found `used` bytes while `free` ones were left.
    pub fn walked(&mut self, used: u64, free: u64, took: Duration) {
        self.walked = Some(Walked { used, free, took });
    }

    /// How long after the last look the next one is due.
    fn due(&self, left: u64, gone: u64, took: Duration) -> Duration {
        if gone >= left {
            return took * SHORT_REST;
        }
        if gone >= self.worth_a_look(left) {
            return took * REST;
        }
        let interval = match gone {
            0 => IDLE_INTERVAL,
            _ => ACTIVE_INTERVAL,
        };
        interval.max(took * IDLE_REST)
    }

    /// The time in which nothing that is worth a look can happen.
    fn pause(&self, left: u64, gone: u64) -> Duration {
        let bytes = self.worth_a_look(left).saturating_sub(gone);
        let pause = Duration::from_millis(bytes.saturating_mul(1000) / FASTEST);
        pause.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    fn worth_a_look(&self, left: u64) -> u64 {
        (left / PART).max(self.limit / LEAST_PART).max(1)
    }
}

#[cfg(test)]
mod tests;

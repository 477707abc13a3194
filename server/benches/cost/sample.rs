//! Durations, and what is said of them.

use std::time::{Duration, Instant};

#[derive(Clone, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    pub(crate) fn since(&mut self, begin: Instant) {
        self.push(begin.elapsed());
    }

    /// The value below which so many percent lie, in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(f64::NAN, millis)
    }

    pub(crate) fn first_quarter(&self) -> Self {
        Self(self.0[..self.0.len().div_ceil(4)].to_vec())
    }

    pub(crate) fn last_quarter(&self) -> Self {
        Self(self.0[self.0.len() - self.0.len().div_ceil(4)..].to_vec())
    }

    /// One row of the table.
    pub(crate) fn print(&self, name: &str) {
        let [min, p50, p95] = [0, 50, 95].map(|percent| self.percentile(percent));
        println!("| {name:<52} | {min:>9.2} | {p50:>9.2} | {p95:>9.2} |");
    }
}

impl FromIterator<Duration> for Sample {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        Self(durations.into_iter().collect())
    }
}

/// A row that is no duration.
pub(crate) fn print_value(name: &str, value: impl std::fmt::Display) {
    println!("| {name:<52} | {value:>33} |");
}

fn millis(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

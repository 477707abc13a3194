//! Latencies by the millisecond.

use std::collections::BTreeMap;

/// How often each latency was seen.
#[derive(Default)]
pub(crate) struct Latencies {
    counts: BTreeMap<u64, u64>,
}

impl Latencies {
    pub(crate) fn add(&mut self, millis: u64) {
        *self.counts.entry(millis).or_default() += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The latency that so many percent do not exceed, in milliseconds; 0 if there is none.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        reached.map_or(0, |(millis, _)| *millis)
    }
}

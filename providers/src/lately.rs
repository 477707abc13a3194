//! What was used lately, within bounds: in number, and in bytes all together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many conversations are remembered: as many as are likely to be under way.
const CONVERSATIONS: usize = 512;

/// How many bytes of JSON those of one row and model have together, twice: as they came and as they are
/// sent. A conversation that fills a large model's context has about
/// one mebibyte; one with images may have many, and is remembered like any other as long as it fits.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Conversations, the latest first. Those that were not used for longest are forgotten.
#[derive(Debug)]
pub(crate) struct Lately<T> {
    entries: Mutex<VecDeque<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    bytes: usize,
    value: T,
}

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
        }
    }
}

impl<T> Lately<T> {
    /// Remembers `value`, which has so many bytes of JSON, as the latest.
    pub(crate) fn keep(&self, bytes: usize, value: T) {
        // It would push all others out, and not fit for that.
        if bytes > MAX_BYTES {
            return;
        }
        let mut entries = self.lock();
        entries.push_front(Entry { bytes, value });
        entries.truncate(CONVERSATIONS);
        let mut all: usize = entries.iter().map(|entry| entry.bytes).sum();
        while all > MAX_BYTES {
            let oldest = entries.pop_back();
            all -= oldest.map_or(all, |oldest| oldest.bytes);
        }
    }

    /// Takes out the one with the highest rank, the latest of several; those without a rank do not count.
    pub(crate) fn take_best(&self, rank: impl Fn(&T) -> Option<usize>) -> Option<T> {
        let mut entries = self.lock();
        let place = best(&entries, rank)?;
        entries.remove(place).map(|entry| entry.value)
    }

    /// Looks at that one, and leaves it where it is.
    pub(crate) fn view_best<V>(
        &self,
        rank: impl Fn(&T) -> Option<usize>,
        view: impl FnOnce(&T) -> V,
    ) -> Option<V> {
        let entries = self.lock();
        let place = best(&entries, rank)?;
        entries.get(place).map(|entry| view(&entry.value))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn best<T>(entries: &VecDeque<Entry<T>>, rank: impl Fn(&T) -> Option<usize>) -> Option<usize> {
    let ranked = entries.iter().enumerate().rev();
    let ranked = ranked.filter_map(|(place, entry)| Some((rank(&entry.value)?, place)));
    let best = ranked.max_by_key(|(rank, _)| *rank);
    best.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lately: &Lately<usize>) -> Vec<usize> {
        lately.lock().iter().map(|entry| entry.value).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let lately = Lately::default();
        for value in 0..2 * CONVERSATIONS {
            lately.keep(1, value);
        }
        let latest: Vec<usize> = (CONVERSATIONS..2 * CONVERSATIONS).rev().collect();
        assert_eq!(all(&lately), latest);
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large_together() {
        let lately = Lately::default();
        for value in [0, 1, 2, 3] {
            lately.keep(MAX_BYTES / 3, value);
        }
        assert_eq!(all(&lately), [3, 2, 1]);
        lately.keep(MAX_BYTES, 4);
        assert_eq!(all(&lately), [4]);
        lately.keep(MAX_BYTES + 1, 5);
        assert_eq!(all(&lately), [4]);
    }

    #[test]
    fn the_best_is_taken_and_the_latest_of_several() {
        let lately = Lately::default();
        for value in [7, 70, 8, 71] {
            lately.keep(1, value);
        }
        let by_tens = |value: &usize| (*value != 8).then_some(value / 10);
        assert_eq!(lately.view_best(by_tens, |value| *value), Some(71));
        assert_eq!(lately.take_best(by_tens), Some(71));
        assert_eq!(lately.take_best(by_tens), Some(70));
        assert_eq!(lately.take_best(by_tens), Some(7));
        assert_eq!(lately.take_best(by_tens), None);
        assert_eq!(all(&lately), [8]);
    }
}

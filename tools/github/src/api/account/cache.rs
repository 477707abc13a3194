//! Answers that GitHub may say are still good, which costs nothing of the hourly budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::lock;

/// All answers together.
const MAX_BYTES: usize = 32 << 20;
const MAX_ENTRIES: usize = 4096;
/// An answer larger than this is not worth the place of so many others.
const MAX_ENTRY_BYTES: usize = 1 << 20;
/// What an entry takes besides its body.
const ENTRY_OVERHEAD: usize = 1024;

/// An answer that has a tag.
pub(in crate::api) struct Cached {
    pub(in crate::api) tag: HeaderValue,
    pub(in crate::api) headers: HeaderMap,
    pub(in crate::api) body: Bytes,
}

/// Answers by account and route: nobody is given what another one was allowed to see.
#[derive(Default)]
pub(in crate::api) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: HashMap<(u64, String), Entry>,
    bytes: usize,
    uses: u64,
}

struct Entry {
    cached: Arc<Cached>,
    bytes: usize,
    last_use: u64,
}

impl Cache {
    pub(in crate::api) fn get(&self, account: u64, route: &str) -> Option<Arc<Cached>> {
        let mut kept = lock(&self.0);
        kept.uses += 1;
        let use_number = kept.uses;
        let entry = kept.entries.get_mut(&(account, route.to_owned()))?;
        entry.last_use = use_number;
        Some(Arc::clone(&entry.cached))
    }

    /// Keeps an answer; the ones that were not used for longest make room.
    pub(in crate::api) fn put(&self, account: u64, route: &str, cached: Cached) {
        let bytes = cached.body.len() + route.len() + ENTRY_OVERHEAD;
        let mut kept = lock(&self.0);
        kept.remove(&(account, route.to_owned()));
        if bytes > MAX_ENTRY_BYTES {
            return;
        }
        while kept.bytes + bytes > MAX_BYTES || kept.entries.len() >= MAX_ENTRIES {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            kept.remove(&oldest);
        }
        kept.uses += 1;
        let entry = Entry {
            cached: Arc::new(cached),
            bytes,
            last_use: kept.uses,
        };
        kept.bytes += bytes;
        kept.entries.insert((account, route.to_owned()), entry);
    }
}

impl Kept {
    fn remove(&mut self, key: &(u64, String)) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Cached {
        Cached {
            tag: HeaderValue::from_static("\"a\""),
            headers: HeaderMap::new(),
            body: vec![b'x'; bytes].into(),
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_account() {
        let cache = Cache::default();
        cache.put(1, "/a", answer(10));
        cache.put(1, "/a", answer(20));
        assert_eq!(cache.get(1, "/a").unwrap().body.len(), 20);
        assert!(cache.get(2, "/a").is_none());
        cache.put(1, "/a", answer(MAX_ENTRY_BYTES));
        assert!(cache.get(1, "/a").is_none(), "a stale one is not kept");
        assert_eq!(lock(&cache.0).bytes, 0);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let cache = Cache::default();
        let half = MAX_ENTRY_BYTES / 2;
        cache.put(0, "first", answer(half));
        for number in 1..=MAX_BYTES / half * 2 {
            cache.put(number as u64, "/", answer(half));
            assert!(cache.get(0, "first").is_some(), "it is in use");
        }
        let kept = lock(&cache.0);
        assert!(kept.bytes <= MAX_BYTES);
        let sum: usize = kept.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(kept.bytes, sum);
    }

    #[test]
    fn there_are_only_so_many() {
        let cache = Cache::default();
        for number in 0..MAX_ENTRIES as u64 + 10 {
            cache.put(number, "/", answer(1));
        }
        assert_eq!(lock(&cache.0).entries.len(), MAX_ENTRIES);
    }
}

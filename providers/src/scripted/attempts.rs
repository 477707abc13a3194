//! How often the same reply was asked for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::{Mutex, PoisonError};

use pullwright_protocol::provider::StreamRequest;

/// How many conversations are told apart before counting starts anew: a long-lived server must not
/// remember them all.
const MAX_REMEMBERED: usize = 4096;

/// Counts requests. The same conversation at the same point is the same reply asked for again.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: Mutex<HashMap<u64, u32>>,
}

impl Attempts {
    /// Counts `request`; 1 when it is new.
    pub(super) fn count(&self, request: &StreamRequest) -> u32 {
        let fingerprint = fingerprint(request);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_REMEMBERED {
            counts.clear();
        }
        let count = counts.entry(fingerprint).or_default();
        *count += 1;
        *count
    }
}

fn fingerprint(request: &StreamRequest) -> u64 {
    let mut hasher = HashWriter(DefaultHasher::new());
    // Neither hashing nor these types can fail to be written.
    drop(serde_json::to_writer(&mut hasher, request));
    hasher.0.finish()
}

struct HashWriter(DefaultHasher);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

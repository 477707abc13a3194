//! Where runs and their events live.
//!
//! [`SqliteStore`] is one file beside the server. What stands beside its folder is what every store
//! needs: who watches a run, and a run's last events in memory.

mod sqlite;
mod tail;
mod watchers;

pub use sqlite::{OpenError, SqliteStore, StoreOptions};

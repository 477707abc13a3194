//! Where runs and their events live.
//!
//! [`SqliteStore`] is one file beside the server. What stands beside its folder is what every store
//! needs: the changes it is asked for, the one task that writes them in groups, what a failure means,
//! who watches a run, and a run's last events in memory.

mod failure;
mod op;
mod sqlite;
mod tail;
mod watchers;
mod writer;

pub use sqlite::{OpenError, SqliteStore, StoreOptions};

//! Where runs and their events live.
//!
//! [`SqliteStore`] is one file beside the server, [`PostgresStore`] a database that several servers share.
//! What stands beside their folders is what both need: the changes it is asked for, the one task that writes them in groups, what a failure means,
//! who watches a run, and a run's last events in memory.

mod access_rows;
mod failure;
mod messages;
mod op;
mod page;
mod postgres;
mod retention;
mod sqlite;
mod tail;
mod watchers;
mod writer;

use crate::access::AccessStore;

pub use postgres::{AddressError, PostgresAddress, PostgresError, PostgresStore};
pub use retention::{KeptStore, Retention, Turn};
pub use sqlite::{OpenError, SqliteStore, StoreOptions};

/// All that a server keeps: runs, keys, and the record of what was done.
pub trait Store: KeptStore + AccessStore {}

impl<S: KeptStore + AccessStore> Store for S {}

//! Where runs and their events live.
//!
//! [`SqliteStore`] is one file beside the server, [`PostgresStore`] a database that several servers share.
//! What stands beside their folders is what both need: the changes it is asked for, the one task that writes them in groups, what a failure means,
//! who watches a run, and a run's last events in memory.

mod access_rows;
mod delivery_rows;
mod failure;
mod lease_row;
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
use crate::webhooks::DeliveryStore;

pub use postgres::{AddressError, PostgresAddress, PostgresError, PostgresStore};
pub use retention::{KeptStore, Retention, Turn};
pub use sqlite::{OpenError, SqliteStore, StoreOptions};

/// All that a server keeps: runs, keys, the record of what was done, and deliveries of webhooks.
pub trait Store: KeptStore + AccessStore + DeliveryStore {}

impl<S: KeptStore + AccessStore + DeliveryStore> Store for S {}

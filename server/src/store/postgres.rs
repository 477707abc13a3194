//! The run store of many servers: a Postgres database.
//!
//! A server holds one connection that writes (see `writer.rs`), one on which the servers tell each other
//! of new events (`hub.rs`), and a few for reading, each only for the length of a page; large patches go by
//! these as well (`patches.rs`). Leases are
//! measured by the database's clock alone, since the servers' clocks may differ and jump.

mod access;
mod address;
mod appends;
mod connection;
mod create;
mod deliveries;
mod follow;
mod grace;
mod group;
mod hub;
mod messages;
mod outbox;
mod patches;
mod reader;
mod retire;
mod row;
mod schema;
mod token;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::store::{
    Created, Epoch, Message, NewMessage, NewRun, Posted, Retired, RunFilter, RunPlace, RunRecord,
    RunStore, StoreError, StoreFailure,
};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use address::{AddressError, PostgresAddress};
use connection::{connect, in_time};
use grace::Grace;
use hub::Hub;
use outbox::Outbox;
use reader::Reader;
use transaction::Writing;

use super::failure::{failed, failure};
use super::messages::posted;
use super::retention::{Retention, Turn};
use super::watchers::Watchers;
use super::writer::WriterHandle;

/// How long a database that is not up yet is waited for: it may have been started together with the
/// server.
const START_PATIENCE: Duration = Duration::from_secs(15);
const START_RETRY_WAIT: Duration = Duration::from_millis(250);

/// Runs and their events in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    address: PostgresAddress,
    writer: WriterHandle,
    reader: Reader,
    watchers: Arc<Watchers>,
    _hub: AbortOnDropHandle<()>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// It cannot be reached, or refuses us or our tables.
    #[error(
        "the run store at {address} cannot be opened: {source}; it needs a database of its own, \
         which DATABASE_URL names, and a user who may make tables there"
    )]
    Open {
        /// The database.
        address: PostgresAddress,
        /// The reason.
        source: sqlx::Error,
    },
    /// An earlier version of Pullwright made the tables, and they are to stay as they are.
    #[error(
        "the run store at {address} has schema version {found}, and this version of pullwright needs \
         {needed}; start `pullwright serve` of this version on it, which upgrades it, or use the pullwright \
         that serves it now"
    )]
    Older {
        /// The database.
        address: PostgresAddress,
        /// The database's version.
        found: i64,
        /// The version needed here.
        needed: i64,
    },
    /// There are no tables, and none are to be made.
    #[error(
        "there is no run store at {address}; start `pullwright serve` on it, which makes one, or name \
         another database in DATABASE_URL"
    )]
    Absent {
        /// The database.
        address: PostgresAddress,
    },
    /// A later version of Pullwright made the tables.
    #[error(
        "the run store at {address} has schema version {found}, and this version of pullwright \
         knows {known}; use the newer pullwright, or another database"
    )]
    Newer {
        /// The database.
        address: PostgresAddress,
        /// The database's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

impl PostgresStore {
    /// Opens the store, making or upgrading its tables as needed.
    ///
    /// # Errors
    /// When the database cannot be reached or used, or was written by a later version.
    pub async fn open(address: &PostgresAddress) -> Result<Self, PostgresError> {
        Self::open_with(address, Tables::BroughtUp).await
    }

    /// Opens the store as it is: another version of Pullwright may be at work on it.
    ///
    /// # Errors
    /// As for [`PostgresStore::open`], and when its tables are missing or of an earlier version.
    pub async fn open_as_it_is(address: &PostgresAddress) -> Result<Self, PostgresError> {
        Self::open_with(address, Tables::LeftAlone).await
    }

    async fn open_with(address: &PostgresAddress, tables: Tables) -> Result<Self, PostgresError> {
        let opened = ready(address, tables).await;
        let (connection, found, was_away) = opened.map_err(|source| PostgresError::Open {
            address: address.clone(),
            source,
        })?;
        if let Some(misfit) = misfit(address, found) {
            return Err(misfit);
        }
        let watchers = Arc::new(Watchers::default());
        let outbox = Arc::new(Outbox::default());
        let grace = Arc::new(Grace::default());
        if was_away {
            grace.begin();
        }
        let hub = Hub::new(
            address.clone(),
            Arc::clone(&watchers),
            Arc::clone(&outbox),
            Arc::clone(&grace),
        );
        let writing = Writing::new(address.clone(), connection, outbox);
        Ok(Self {
            address: address.clone(),
            writer: WriterHandle::start(writing, Arc::clone(&watchers)),
            reader: Reader::new(address.clone(), grace),
            watchers,
            _hub: AbortOnDropHandle::new(tokio::spawn(hub.run())),
        })
    }
}

/// What becomes of tables that are missing or of an earlier version.
#[derive(Clone, Copy, Debug)]
enum Tables {
    BroughtUp,
    LeftAlone,
}

/// Why tables of this version are not to be used, if they are not.
fn misfit(address: &PostgresAddress, found: i64) -> Option<PostgresError> {
    let (address, known) = (address.clone(), schema::VERSION);
    match found {
        0 => Some(PostgresError::Absent { address }),
        _ if found > known => Some(PostgresError::Newer {
            address,
            found,
            known,
        }),
        _ if found < known => Some(PostgresError::Older {
            address,
            found,
            needed: known,
        }),
        _ => None,
    }
}

/// A connection to the database, the version of its tables, and whether it had to be waited for.
async fn ready(
    address: &PostgresAddress,
    tables: Tables,
) -> Result<(PgConnection, i64, bool), sqlx::Error> {
    let begin = Instant::now();
    let mut was_away = false;
    loop {
        let error = match try_ready(address, tables).await {
            Ok((connection, version)) => return Ok((connection, version, was_away)),
            Err(error) => error,
        };
        let may_come = failure(&error) == StoreFailure::Unreachable;
        if !may_come || begin.elapsed() > START_PATIENCE {
            return Err(error);
        }
        tracing::warn!(%address, %error, "waiting for the database");
        was_away = true;
        tokio::time::sleep(START_RETRY_WAIT).await;
    }
}

async fn try_ready(
    address: &PostgresAddress,
    tables: Tables,
) -> Result<(PgConnection, i64), sqlx::Error> {
    let mut connection = connect(address).await?;
    let version = match tables {
        Tables::BroughtUp => schema::migrate(&mut connection).await?,
        Tables::LeftAlone => in_time(schema::version(&mut connection)).await?,
    };
    Ok((connection, version))
}

#[async_trait]
impl RunStore for PostgresStore {
    async fn create(&self, new: NewRun) -> Result<Created, StoreError> {
        self.writer.create(new).await
    }

    async fn claim(&self, run: &RunId, worker: &str, lease: Duration) -> Result<Epoch, StoreError> {
        self.writer.claim(run, worker, lease).await
    }

    async fn heartbeat(
        &self,
        run: &RunId,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<(), StoreError> {
        self.writer.heartbeat(run, epoch, lease).await
    }

    async fn park(&self, run: &RunId, epoch: Epoch, wait: Duration) -> Result<(), StoreError> {
        self.writer.park(run, epoch, wait).await
    }

    async fn append(
        &self,
        run: &RunId,
        epoch: Epoch,
        events: Vec<LoggedEvent>,
    ) -> Result<(), StoreError> {
        self.writer.append(run, epoch, events).await
    }

    async fn read(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        match self.watchers.recent(run, after, limit) {
            Some(page) => Ok(page),
            None => self.reader.events(run, after, limit).await,
        }
    }

    fn watch(&self, run: &RunId) -> watch::Receiver<u64> {
        self.watchers.watch(run)
    }

    async fn put_patch(&self, run: &RunId, epoch: Epoch, patch: &[u8]) -> Result<(), StoreError> {
        self.put_any_patch(run, epoch, patch).await
    }

    async fn remove_patch(&self, run: &RunId, epoch: Epoch) -> Result<(), StoreError> {
        self.writer.remove_patch(run, epoch).await
    }

    async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.any_patch(run).await
    }

    async fn finish(
        &self,
        run: &RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<(), StoreError> {
        self.writer.finish(run, epoch, outcome, done).await
    }

    async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        self.writer.cancel(run).await
    }

    async fn post(&self, message: NewMessage) -> Result<Posted, StoreError> {
        let number = self.post_message(&message).await?;
        let record = match number {
            Some(_) => None,
            None => self.get(&message.run).await?,
        };
        posted(number, &message.run, record)
    }

    async fn messages(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        self.messages_of(run).await
    }

    async fn message(&self, id: &str) -> Result<Option<(RunId, Message)>, StoreError> {
        self.message_of_id(id).await
    }

    async fn follower(&self, run: &RunId) -> Result<Option<RunId>, StoreError> {
        self.follower_of(run).await
    }

    async fn keyed(&self, owner: Option<&str>, key: &str) -> Result<Option<RunId>, StoreError> {
        self.run_of_key(owner, key).await
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.reader.record(run).await
    }

    async fn page(
        &self,
        filter: &RunFilter,
        after: Option<&RunPlace>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        self.reader.page(filter, after, limit).await
    }

    async fn token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.sealed_token(run).await
    }

    async fn orphans(&self) -> Result<Vec<RunId>, StoreError> {
        self.reader.orphans().await
    }
}

#[async_trait]
impl Retention for PostgresStore {
    async fn turn(&self) -> Result<Option<Turn>, StoreError> {
        let turn = retire::turn(&self.address).await;
        turn.map_err(failed("taking a turn"))
    }

    async fn due(
        &self,
        ended_before_ms: u64,
        after: Option<&RunRecord>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        self.reader.due(ended_before_ms, after, limit).await
    }

    async fn retire(&self, run: &RunId, how: Retired) -> Result<bool, StoreError> {
        self.writer.retire(run, how).await
    }

    /// The database's own autovacuum makes the space of deleted rows free for new ones.
    async fn give_back(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

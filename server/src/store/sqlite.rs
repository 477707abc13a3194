//! The embedded run store: one SQLite file.
//!
//! One task writes runs and events (see `writer.rs`), and keys and the record of what was done have a
//! connection of their own (see `access.rs`); readers have connections of their own, so reading never waits
//! for a commit and nobody holds a connection between two pages.

mod access;
mod apply;
mod deliveries;
mod follow;
mod messages;
mod owned;
mod reader;
mod repeated;
mod retire;
mod schema;
mod single_append;
mod token;
mod transaction;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::store::{
    Created, Epoch, Message, NewMessage, NewRun, Posted, Retired, RunFilter, RunPlace, RunRecord,
    RunStore, StoreError,
};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use tokio::sync::watch;

use reader::Reader;

use super::messages::posted;
use super::retention::{Retention, Turn};
use super::watchers::Watchers;
use super::writer::WriterHandle;

/// How long a connection waits for another process that holds the file's lock, before the write
/// fails instead of hanging.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Only the server's own user may read runs: they hold prompts and source code.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The most pages (4 KiB each) the file may have; writes beyond it fail like a full disk.
    pub max_pages: Option<u32>,
}

/// Runs and their events in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: WriterHandle,
    reader: Reader,
    access: SqlitePool,
    watchers: Arc<Watchers>,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be made.
    #[error("the run store {path} cannot be created: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// SQLite refuses the file.
    #[error("the run store {path} cannot be opened: {source}; move the file away to start anew")]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: sqlx::Error,
    },
    /// A later version of Pullwright wrote the file.
    #[error(
        "the run store {path} has schema version {found}, and this version of pullwright knows \
         {known}; use the newer pullwright, or another store file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

impl SqliteStore {
    /// Opens the store at `path`, creating or upgrading it as needed.
    ///
    /// # Errors
    /// When the file cannot be created, is no run store, or was written by a later version.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, StoreOptions::default()).await
    }

    /// Like [`SqliteStore::open`], with options.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub async fn open_with(
        path: impl AsRef<Path>,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        create_private(path).map_err(|source| OpenError::Create {
            path: path.to_owned(),
            source,
        })?;
        let refused = |source| OpenError::Open {
            path: path.to_owned(),
            source,
        };
        let mut connection = writing(path, &options).connect().await.map_err(refused)?;
        let found = schema::migrate(&mut connection).await.map_err(refused)?;
        if found > schema::VERSION {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known: schema::VERSION,
            });
        }
        let watchers = Arc::new(Watchers::default());
        Ok(Self {
            writer: WriterHandle::start(connection, Arc::clone(&watchers)),
            reader: Reader::open(reading(path)),
            access: access::writing(writing(path, &options)),
            watchers,
        })
    }
}

#[async_trait]
impl RunStore for SqliteStore {
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
        self.writer.put_patch(run, epoch, patch).await
    }

    async fn remove_patch(&self, run: &RunId, epoch: Epoch) -> Result<(), StoreError> {
        self.writer.remove_patch(run, epoch).await
    }

    async fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.patch(run).await
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
impl Retention for SqliteStore {
    /// Nobody else takes turns on a file: what two servers would do at once is done once.
    async fn turn(&self) -> Result<Option<Turn>, StoreError> {
        Ok(Some(Turn::free()))
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

    async fn give_back(&self) -> Result<bool, StoreError> {
        self.writer.give_back().await
    }
}

/// Makes the file, so that SQLite gives its own mode to the files beside it.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(FILE_MODE))
}

fn writing(path: &Path, options: &StoreOptions) -> SqliteConnectOptions {
    let writing = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Takes effect when the file is made.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_WAIT)
        .disable_statement_logging();
    match options.max_pages {
        Some(pages) => writing.pragma("max_page_count", pages.to_string()),
        None => writing,
    }
}

fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .pragma("query_only", "ON")
        .busy_timeout(LOCK_WAIT)
        .disable_statement_logging()
}

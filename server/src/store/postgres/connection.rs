//! Connections, each of which is dropped at the first thing that goes wrong on it.
//!
//! sqlx's pool asks a returned connection whether it still lives, without a limit; on one whose other end
//! has vanished that takes a quarter of an hour, during which nobody else gets its place.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::PostgresAddress;

/// A database that has not answered by then is taken for gone. Longer than its own time limits, so
/// that it is the one to say what took too long.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// How many reads run at the same time.
const READERS: usize = 8;

/// Opens a connection.
pub(super) async fn connect(address: &PostgresAddress) -> Result<PgConnection, sqlx::Error> {
    in_time(address.options().connect()).await
}

/// Waits for the database, within [`ANSWER_LIMIT`].
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    within(ANSWER_LIMIT, answer).await
}

/// Waits for the database so long.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_| Err(no_answer(limit)))
}

fn no_answer(limit: Duration) -> sqlx::Error {
    let message = format!("the database gave no answer in {limit:?}");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// Connections that are lent for one question at a time.
#[derive(Debug)]
pub(super) struct Connections {
    address: PostgresAddress,
    places: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

/// A connection that is closed unless it is given back.
pub(super) struct Lent<'c> {
    pub(super) connection: PgConnection,
    lender: &'c Connections,
    _place: SemaphorePermit<'c>,
}

impl Connections {
    pub(super) fn new(address: PostgresAddress) -> Self {
        Self {
            address,
            places: Semaphore::new(READERS),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn lend(&self) -> Result<Lent<'_>, sqlx::Error> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.address).await?,
        };
        Ok(Lent {
            connection,
            lender: self,
            _place,
        })
    }

    /// Closes those that nobody uses: what broke one has broken all, most of the time.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    pub(super) fn give_back(self) {
        self.lender.idle().push(self.connection);
    }
}

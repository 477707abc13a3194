//! What a failure of a database means for whoever called.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;

use pullwright_core::store::{StoreError, StoreFailure};
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// Makes a [`StoreError::Database`] of what the database said.
pub(super) fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError::Database {
        what,
        failure: failure(&error),
        source: error.into(),
    }
}

/// The same of a failure that several callers are told.
pub(super) fn failed_together(what: &'static str, error: &Arc<sqlx::Error>) -> StoreError {
    StoreError::Database {
        what,
        failure: failure(error),
        source: Arc::clone(error).into(),
    }
}

/// Makes a [`StoreError::Database`] of a reason of our own.
pub(super) fn refused<E>(what: &'static str) -> impl Fn(E) -> StoreError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    move |reason| StoreError::Database {
        what,
        failure: StoreFailure::Refused,
        source: reason.into(),
    }
}

/// What a failure means.
pub(super) fn failure(error: &sqlx::Error) -> StoreFailure {
    let sqlx::Error::Database(database) = error else {
        return match error {
            // A certificate that is not to be trusted comes as such, and stays.
            sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
                StoreFailure::Refused
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::BeginFailed => StoreFailure::Unreachable,
            _ => StoreFailure::Refused,
        };
    };
    let code = database.code().unwrap_or_default();
    if database.try_downcast_ref::<PgDatabaseError>().is_some() {
        of_sqlstate(&code)
    } else if database.try_downcast_ref::<SqliteError>().is_some() {
        of_sqlite(&code)
    } else {
        StoreFailure::Refused
    }
}

/// The codes are in appendix A of PostgreSQL's manual.
fn of_sqlstate(code: &str) -> StoreFailure {
    match code {
        "53100" => StoreFailure::Full,
        "25006" => StoreFailure::ReadOnly,
        // Serialization failure, deadlock, idle in a transaction, too many connections, out of
        // memory, no lock in time, cancelled.
        "40001" | "40P01" | "25P03" | "53300" | "53200" | "55P03" | "57014" => {
            StoreFailure::Unreachable
        }
        // Connection exceptions; shutting down, crashed, starting.
        _ if code.starts_with("08") || code.starts_with("57P") => StoreFailure::Unreachable,
        _ => StoreFailure::Refused,
    }
}

/// The codes are in <https://sqlite.org/rescode.html>; the low byte says the kind.
fn of_sqlite(code: &str) -> StoreFailure {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => StoreFailure::Unreachable,
        Ok(8) => StoreFailure::ReadOnly,
        Ok(13) => StoreFailure::Full,
        _ => StoreFailure::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_may_come_back_is_told_from_one_that_refuses() {
        assert_eq!(of_sqlstate("57P01"), StoreFailure::Unreachable);
        assert_eq!(of_sqlstate("08006"), StoreFailure::Unreachable);
        assert_eq!(of_sqlstate("40P01"), StoreFailure::Unreachable);
        assert_eq!(of_sqlstate("53100"), StoreFailure::Full);
        assert_eq!(of_sqlstate("25006"), StoreFailure::ReadOnly);
        assert_eq!(of_sqlstate("23505"), StoreFailure::Refused);
        assert_eq!(of_sqlstate("28P01"), StoreFailure::Refused);
    }

    #[test]
    fn the_extended_codes_of_sqlite_count_as_their_kind() {
        assert_eq!(of_sqlite("13"), StoreFailure::Full);
        assert_eq!(of_sqlite("1032"), StoreFailure::ReadOnly);
        assert_eq!(of_sqlite("261"), StoreFailure::Unreachable);
        assert_eq!(of_sqlite("2067"), StoreFailure::Refused);
    }
}

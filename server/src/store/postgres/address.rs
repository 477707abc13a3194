//! Where a Postgres database is, as `DATABASE_URL` says it.

use std::fmt;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// What sqlx understands. Others it would log with their values, one of which may be a password.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What the database does with a connection of ours that stands still, whose server may be gone: it
/// would keep the rows it locked from the other servers.
const SESSION: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// A database. What it shows of itself has no password.
#[derive(Clone)]
pub struct PostgresAddress {
    options: PgConnectOptions,
}

/// Why a text names no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a kind that is known here.
    #[error(
        "DATABASE_URL {0}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE, or unset it to keep the \
         runs in a file in the data folder"
    )]
    Unknown(String),
    /// It is a URL of Postgres with something wrong in it.
    #[error("DATABASE_URL is a URL of Postgres, but {0}")]
    Malformed(String),
}

impl PostgresAddress {
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl FromStr for PostgresAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        check_scheme(text)?;
        let url = Url::parse(text).map_err(|error| {
            AddressError::Malformed(format!(
                "{error}; characters that mean something in a URL are written as %XX in a password"
            ))
        })?;
        check_parameters(&url)?;
        let options = PgConnectOptions::from_url(&url)
            .map_err(|error| AddressError::Malformed(error.to_string()))?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("pullwright"),
        };
        Ok(Self {
            options: options.options(SESSION).disable_statement_logging(),
        })
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let database = options
            .get_database()
            .unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(folder) => write!(f, "{} (database {database})", folder.display()),
            None => write!(
                f,
                "{}:{} (database {database})",
                options.get_host(),
                options.get_port()
            ),
        }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Of another text nothing is shown but a scheme: what stands first in it may be a password.
fn check_scheme(text: &str) -> Result<(), AddressError> {
    let is_scheme = |scheme: &&str| {
        let mut letters = scheme.chars();
        letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match text.split_once("://").map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Ok(()),
        Some(scheme) if is_scheme(&scheme) => Err(AddressError::Unknown(format!(
            "begins with `{scheme}://`, which is no run store that pullwright knows"
        ))),
        _ if text.is_empty() => Err(AddressError::Unknown("is empty".to_owned())),
        _ => Err(AddressError::Unknown("is no URL".to_owned())),
    }
}

fn check_parameters(url: &Url) -> Result<(), AddressError> {
    let known = |key: &str| PARAMETERS.contains(&key) || key.starts_with("options[");
    match url.query_pairs().find(|(key, _)| !known(key)) {
        None => Ok(()),
        Some((key, _)) => Err(AddressError::Malformed(format!(
            "its parameter `{key}` is unknown; known ones are {}",
            PARAMETERS.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = text.parse::<PostgresAddress>().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn what_it_shows_of_itself_has_no_password() {
        let address: PostgresAddress =
            "postgresql://me:hunter2@db.example.com:5433/runs?sslmode=require"
                .parse()
                .unwrap();
        assert_eq!(address.to_string(), "db.example.com:5433 (database runs)");
        assert!(!format!("{address:?}").contains("hunter2"));
        let socket: PostgresAddress = "postgres:///runs?host=/run/postgresql".parse().unwrap();
        assert_eq!(socket.to_string(), "/run/postgresql (database runs)");
    }

    #[test]
    fn anything_else_is_refused_without_showing_a_password() {
        assert!(refused("mysql://me:hunter2@db/runs").contains("`mysql://`"));
        assert!(refused("hunter2@db://x").contains("is no URL"));
        assert!(refused("me:hunter2@db").contains("is no URL"));
        assert!(refused("").contains("is empty"));
        assert!(refused("postgres://me:hunter2#@db/runs").contains("%XX"));
        assert!(refused("postgres://db/runs?pasword=hunter2").contains("`pasword`"));
        assert!(refused("postgres://me:hunter2@db/runs?sslmode=maybe").contains("maybe"));
    }
}

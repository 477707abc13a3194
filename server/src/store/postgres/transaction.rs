//! How a group of changes is committed to the database, through failures that pass.
//!
//! When a connection breaks during a commit, nobody knows whether it took place. The group is then carried
//! out once more: what is in the tables already is found there, and nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::store::StoreFailure;
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::PostgresAddress;
use super::appends::Appends;
use super::connection::{connect, in_time};
use super::group::{Claimed, carry_out};
use super::outbox::Outbox;
use crate::store::failure::failure;
use crate::store::op::{Op, Reply};
use crate::store::writer::{Command, Database, Replies};

/// How long writes wait for a database that is away, before they fail: longer than its restart. Those
/// that come later in the same outage fail at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before a try is repeated, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The connection that writes.
pub(super) struct Writing {
    address: PostgresAddress,
    connection: Option<PgConnection>,
    outbox: Arc<Outbox>,
    failing_since: Option<Instant>,
}

impl Writing {
    pub(super) fn new(
        address: PostgresAddress,
        connection: PgConnection,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            address,
            connection: Some(connection),
            outbox,
            failing_since: None,
        }
    }

    async fn try_commit(
        &mut self,
        group: &[Command],
        claimed: &mut Claimed,
    ) -> Result<Replies, sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.address).await?,
        };
        let committed = in_time(transaction(&mut connection, group, claimed)).await;
        let broken = committed
            .as_ref()
            .is_err_and(|error| !is_about_the_group(error));
        if !broken {
            self.connection = Some(connection);
        }
        committed
    }

    fn may_try_again(&mut self) -> bool {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        since.elapsed() < PATIENCE
    }

    fn announce(&self, group: &[Command], replies: &Replies) {
        let appended = group.iter().zip(replies);
        self.outbox
            .add(appended.filter_map(|(command, reply)| match &command.op {
                Op::Append { run, .. } if reply.is_ok() => Some(run.clone()),
                _ => None,
            }));
    }
}

impl Database for Writing {
    async fn commit(&mut self, group: &[Command]) -> Result<Replies, sqlx::Error> {
        let mut claimed = Claimed::new();
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.try_commit(group, &mut claimed).await {
                Ok(replies) => {
                    self.failing_since = None;
                    self.announce(group, &replies);
                    return Ok(replies);
                }
                Err(error) => error,
            };
            if failure(&error) != StoreFailure::Unreachable {
                self.failing_since = None;
                return Err(error);
            }
            if !self.may_try_again() {
                return Err(error);
            }
            tracing::warn!(address = %self.address, %error, "a commit failed and is tried again");
            tokio::time::sleep(wait).await;
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }

    async fn close(self) {
        let Some(connection) = self.connection else {
            return;
        };
        if let Err(error) = in_time(connection.close()).await {
            tracing::warn!(%error, "the run store did not close cleanly");
        }
    }
}

async fn transaction(
    db: &mut PgConnection,
    group: &[Command],
    claimed: &mut Claimed,
) -> Result<Replies, sqlx::Error> {
    // Those that were committed here are found below if others were refused.
    if let Some(appends) = Appends::of(group)
        && appends.commit(db).await?
    {
        return Ok(group.iter().map(|_| Ok(Reply::Done)).collect());
    }
    let mut change = db.begin().await?;
    let replies = carry_out(&mut change, group, claimed).await?;
    for (place, reply) in replies.iter().enumerate() {
        if let Ok(Reply::Claimed(epoch)) = reply {
            claimed.insert(place, *epoch);
        }
    }
    change.commit().await?;
    Ok(replies)
}

/// After another failure the connection may be broken, or lead to a database that is not the right one
/// any more.
fn is_about_the_group(error: &sqlx::Error) -> bool {
    let said_by_database = matches!(error, sqlx::Error::Database(_));
    said_by_database && matches!(failure(error), StoreFailure::Full | StoreFailure::Refused)
}

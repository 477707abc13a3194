//! How a group of changes is committed to the file.

use sqlx::{Connection, SqliteConnection};

use super::apply::Changes;
use super::single_append::SingleAppend;
use crate::store::op::Reply;
use crate::store::writer::{Command, Database, Replies};

impl Database for SqliteConnection {
    /// The statements are plain SQL on purpose: a full disk makes SQLite end the transaction by
    /// itself, which sqlx's own transactions do not notice.
    async fn commit(&mut self, group: &[Command]) -> Result<Replies, sqlx::Error> {
        let committed = transaction(self, group).await;
        if committed.is_err() {
            // Fails where SQLite has rolled back already, which is just as well.
            let _ = sqlx::query("ROLLBACK").execute(self).await;
        }
        committed
    }

    async fn close(self) {
        if let Err(error) = Connection::close(self).await {
            tracing::warn!(%error, "the run store did not close cleanly");
        }
    }
}

async fn transaction(db: &mut SqliteConnection, group: &[Command]) -> Result<Replies, sqlx::Error> {
    if let [alone] = group
        && let Some(append) = SingleAppend::of(&alone.op)
        && append.commit(db).await?
    {
        return Ok(vec![Ok(Reply::Done)]);
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *db).await?;
    let ops = group.iter().map(|command| &command.op);
    let mut changes = Changes::begin(db, ops).await?;
    let mut replies = Vec::with_capacity(group.len());
    for command in group {
        replies.push(changes.apply(db, &command.op).await?);
    }
    changes.flush(db).await?;
    sqlx::query("COMMIT").execute(db).await?;
    Ok(replies)
}

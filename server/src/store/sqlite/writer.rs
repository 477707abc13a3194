//! The one task that writes.
//!
//! It takes one command, then whatever queued meanwhile, commits all of it at once and answers.
//! There is no time window: a lone command commits immediately, and the next group gathers during
//! a commit.

use std::sync::Arc;

use pullwright_core::store::StoreError;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Changes, Op, Reply};
use super::single_append::SingleAppend;
use crate::store::watchers::Watchers;

/// How many commands may wait, before callers wait too.
const QUEUED_COMMANDS: usize = 1024;

/// A group ends at this many commands or bytes: keeps one commit, and the answer to its first
/// command, from taking for ever.
const GROUP_COMMANDS: usize = 512;
const GROUP_BYTES: usize = 16 << 20;

/// The way to the writer. Dropping it ends the writer after what is queued.
#[derive(Debug)]
pub(super) struct WriterHandle {
    commands: mpsc::Sender<Command>,
}

struct Command {
    op: Op,
    answer: oneshot::Sender<Result<Reply, StoreError>>,
}

impl WriterHandle {
    pub(super) fn start(connection: SqliteConnection, watchers: Arc<Watchers>) -> Self {
        let (commands, received) = mpsc::channel(QUEUED_COMMANDS);
        let writer = Writer {
            connection,
            watchers,
        };
        tokio::spawn(writer.run(received));
        Self { commands }
    }

    /// Carries out `op`; it is durable when this returns.
    pub(super) async fn write(&self, op: Op) -> Result<Reply, StoreError> {
        let what = op.what();
        let (answer, answered) = oneshot::channel();
        let gone = |_| failed(what)("the store's writer has stopped");
        let sent = self.commands.send(Command { op, answer }).await;
        sent.map_err(|_| failed(what)("the store's writer has stopped"))?;
        answered.await.map_err(gone)?
    }
}

/// Makes a [`StoreError::Database`] of a reason.
pub(super) fn failed<E>(what: &'static str) -> impl Fn(E) -> StoreError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| StoreError::Database {
        what,
        source: source.into(),
    }
}

/// The writer gave another command's kind of answer, which is a defect.
pub(super) fn mixed_up(what: &'static str) -> StoreError {
    failed(what)("the writer mixed up its answers")
}

struct Writer {
    connection: SqliteConnection,
    watchers: Arc<Watchers>,
}

impl Writer {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.recv().await {
            let group = gather(first, &mut commands);
            self.carry_out(group).await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the run store did not close cleanly");
        }
    }

    async fn carry_out(&mut self, group: Vec<Command>) {
        match self.commit(&group).await {
            Ok(replies) => answer(group, replies),
            // One command that does not fit must not fail the others.
            Err(_) if group.len() > 1 => {
                for command in group {
                    self.carry_out_alone(command).await;
                }
            }
            Err(error) => refuse(group, error),
        }
    }

    async fn carry_out_alone(&mut self, command: Command) {
        let group = vec![command];
        match self.commit(&group).await {
            Ok(replies) => answer(group, replies),
            Err(error) => refuse(group, error),
        }
    }

    /// One transaction. An error leaves nothing of it behind.
    ///
    /// The statements are plain SQL on purpose: a full disk makes SQLite end the transaction by
    /// itself, which sqlx's own transactions do not notice.
    async fn commit(&mut self, group: &[Command]) -> Result<Replies, sqlx::Error> {
        match transaction(&mut self.connection, group).await {
            Ok(replies) => {
                self.tell_watchers(group, &replies);
                Ok(replies)
            }
            Err(error) => {
                // Fails where SQLite has rolled back already, which is just as well.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
                Err(error)
            }
        }
    }

    fn tell_watchers(&self, group: &[Command], replies: &Replies) {
        for (command, reply) in group.iter().zip(replies) {
            if let (Op::Append { run, events, .. }, Ok(_)) = (&command.op, reply) {
                self.watchers.committed(run, events);
            }
        }
    }
}

/// What each command of a group answers.
type Replies = Vec<Result<Reply, StoreError>>;

async fn transaction(db: &mut SqliteConnection, group: &[Command]) -> Result<Replies, sqlx::Error> {
    if let [alone] = group
        && let Some(append) = SingleAppend::of(&alone.op)
        && append.commit(db).await?
    {
        return Ok(vec![Ok(Reply::Done)]);
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *db).await?;
    let mut changes = Changes::default();
    let mut replies = Vec::with_capacity(group.len());
    for command in group {
        replies.push(changes.apply(db, &command.op).await?);
    }
    changes.flush(db).await?;
    sqlx::query("COMMIT").execute(db).await?;
    Ok(replies)
}

fn gather(first: Command, commands: &mut mpsc::Receiver<Command>) -> Vec<Command> {
    let mut bytes = first.op.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_COMMANDS && bytes < GROUP_BYTES {
        let Ok(next) = commands.try_recv() else { break };
        bytes += next.op.bytes();
        group.push(next);
    }
    group
}

fn answer(group: Vec<Command>, replies: Replies) {
    for (command, reply) in group.into_iter().zip(replies) {
        // A caller that went away does not want the answer.
        let _ = command.answer.send(reply);
    }
}

fn refuse(group: Vec<Command>, error: sqlx::Error) {
    let error = Arc::new(error);
    for command in group {
        let refused = failed(command.op.what())(Arc::clone(&error));
        let _ = command.answer.send(Err(refused));
    }
}

//! The one task that writes.
//!
//! It takes one command, then whatever queued meanwhile, commits all of it at once and answers.
//! There is no time window: a lone command commits immediately, and the next group gathers during
//! a commit.

mod handle;

use std::sync::Arc;

use pullwright_core::store::{StoreError, StoreFailure};
use tokio::sync::{mpsc, oneshot};

use super::failure::{failed_together, failure};
use super::op::{Op, Reply};
use super::watchers::Watchers;

pub(super) use handle::WriterHandle;

/// A group ends at this many commands or bytes: keeps one commit, and the answer to its first
/// command, from taking for ever.
const GROUP_COMMANDS: usize = 512;
const GROUP_BYTES: usize = 16 << 20;

/// What the writer writes to.
pub(super) trait Database: Send + 'static {
    /// Carries out all of `group` in one transaction. An error leaves nothing of it behind.
    fn commit(
        &mut self,
        group: &[Command],
    ) -> impl Future<Output = Result<Replies, sqlx::Error>> + Send;

    /// Takes leave, after everything is written.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What each command of a group answers. A command may be refused and the others carried out.
pub(super) type Replies = Vec<Result<Reply, StoreError>>;

pub(super) struct Command {
    pub(super) op: Op,
    answer: oneshot::Sender<Result<Reply, StoreError>>,
}

struct Writer<D> {
    database: D,
    watchers: Arc<Watchers>,
}

impl<D: Database> Writer<D> {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.recv().await {
            let group = gather(first, &mut commands);
            self.carry_out(group).await;
        }
        self.database.close().await;
    }

    async fn carry_out(&mut self, group: Vec<Command>) {
        match self.commit(&group).await {
            Ok(replies) => answer(group, replies),
            // One command that does not fit must not fail the others.
            Err(error) if group.len() > 1 && may_be_one_command(&error) => {
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

    async fn commit(&mut self, group: &[Command]) -> Result<Replies, sqlx::Error> {
        let replies = self.database.commit(group).await?;
        for (command, reply) in group.iter().zip(&replies) {
            if let (Op::Append { run, events, .. }, Ok(_)) = (&command.op, reply) {
                self.watchers.committed(run, events);
            }
        }
        Ok(replies)
    }
}

fn may_be_one_command(error: &sqlx::Error) -> bool {
    match failure(error) {
        StoreFailure::Full | StoreFailure::Refused => true,
        StoreFailure::Unreachable | StoreFailure::ReadOnly => false,
    }
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
        let refused = failed_together(command.op.what(), &error);
        let _ = command.answer.send(Err(refused));
    }
}

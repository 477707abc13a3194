//! The way to the writer.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::store::{Created, Epoch, NewRun, Retired, StoreError};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use tokio::sync::{mpsc, oneshot};

use super::{Command, Database, Writer};
use crate::store::failure::refused;
use crate::store::op::{Op, Reply};
use crate::store::watchers::Watchers;

/// How many commands may wait, before callers wait too.
const QUEUED_COMMANDS: usize = 1024;

/// Each call returns once what it asked for is durable. Dropping this ends the writer after what is
/// queued.
#[derive(Debug)]
pub(in crate::store) struct WriterHandle {
    commands: mpsc::Sender<Command>,
}

impl WriterHandle {
    pub(in crate::store) fn start(database: impl Database, watchers: Arc<Watchers>) -> Self {
        let (commands, received) = mpsc::channel(QUEUED_COMMANDS);
        let writer = Writer { database, watchers };
        tokio::spawn(writer.run(received));
        Self { commands }
    }

    pub(in crate::store) async fn create(&self, new: NewRun) -> Result<Created, StoreError> {
        match self.write(Op::Create(Box::new(new))).await? {
            Reply::Created(created) => Ok(created),
            _ => Err(mixed_up("creating a run")),
        }
    }

    pub(in crate::store) async fn claim(
        &self,
        run: &RunId,
        worker: &str,
        lease: Duration,
    ) -> Result<Epoch, StoreError> {
        let claim = Op::Claim {
            run: run.clone(),
            worker: worker.to_owned(),
            lease,
        };
        match self.write(claim).await? {
            Reply::Claimed(epoch) => Ok(epoch),
            _ => Err(mixed_up("claiming a run")),
        }
    }

    pub(in crate::store) async fn heartbeat(
        &self,
        run: &RunId,
        epoch: Epoch,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let heartbeat = Op::Heartbeat {
            run: run.clone(),
            epoch,
            lease,
        };
        self.write(heartbeat).await.map(drop)
    }

    pub(in crate::store) async fn park(
        &self,
        run: &RunId,
        epoch: Epoch,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let run = run.clone();
        self.write(Op::Park { run, epoch, wait }).await.map(drop)
    }

    pub(in crate::store) async fn append(
        &self,
        run: &RunId,
        epoch: Epoch,
        events: Vec<LoggedEvent>,
    ) -> Result<(), StoreError> {
        let append = Op::append(run.clone(), epoch, events)?;
        self.write(append).await.map(drop)
    }

    pub(in crate::store) async fn put_patch(
        &self,
        run: &RunId,
        epoch: Epoch,
        patch: &[u8],
    ) -> Result<(), StoreError> {
        self.set_patch(run, epoch, Some(patch)).await
    }

    pub(in crate::store) async fn remove_patch(
        &self,
        run: &RunId,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        self.set_patch(run, epoch, None).await
    }

    async fn set_patch(
        &self,
        run: &RunId,
        epoch: Epoch,
        patch: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let set = Op::SetPatch {
            run: run.clone(),
            epoch,
            patch: patch.map(<[u8]>::to_vec),
        };
        self.write(set).await.map(drop)
    }

    pub(in crate::store) async fn finish(
        &self,
        run: &RunId,
        epoch: Epoch,
        outcome: Outcome,
        done: LoggedEvent,
    ) -> Result<(), StoreError> {
        let finish = Op::finish(run.clone(), epoch, outcome, done)?;
        self.write(finish).await.map(drop)
    }

    pub(in crate::store) async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        match self.write(Op::Cancel(run.clone())).await? {
            Reply::Cancelled(live) => Ok(live),
            _ => Err(mixed_up("cancelling a run")),
        }
    }

    pub(in crate::store) async fn retire(
        &self,
        run: &RunId,
        how: Retired,
    ) -> Result<bool, StoreError> {
        let run = run.clone();
        match self.write(Op::Retire { run, how }).await? {
            Reply::More(more) => Ok(more),
            _ => Err(mixed_up("retiring a run")),
        }
    }

    pub(in crate::store) async fn give_back(&self) -> Result<bool, StoreError> {
        match self.write(Op::GiveBack).await? {
            Reply::More(more) => Ok(more),
            _ => Err(mixed_up("giving freed space back")),
        }
    }

    async fn write(&self, op: Op) -> Result<Reply, StoreError> {
        let what = op.what();
        let gone = || refused(what)("the store's writer has stopped");
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command { op, answer }).await;
        sent.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The writer gave another command's kind of answer, which is a defect.
fn mixed_up(what: &'static str) -> StoreError {
    refused(what)("the writer mixed up its answers")
}

//! Processes, with all that they printed and where their input stands.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::sandbox::{KillSwitch, ProcessExit, SandboxProcess};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use tonic::Status;

use crate::once::Once;
use crate::stdin::Stdin;
use crate::tasks::Tasks;

/// The processes of one sandbox, by the ids that clients gave them.
#[derive(Default)]
pub(crate) struct Processes {
    all: Once<Arc<Process>>,
    running: watch::Sender<usize>,
}

/// A process that a client has started and that has not ended.
#[derive(Clone, Debug)]
pub struct Running {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether it may still be written to.
    pub is_input_open: bool,
}

pub(crate) struct Process {
    command: Vec<String>,
    pub(crate) stdout: Printed,
    pub(crate) stderr: Printed,
    pub(crate) stdin: Stdin,
    exit: watch::Receiver<Option<ProcessExit>>,
    _kill: KillSwitch,
}

/// What was printed, and whether more may come.
pub(crate) struct Printed(watch::Receiver<(Vec<u8>, bool)>);

impl Processes {
    /// Starts a process, unless the one of this `id` is there.
    pub(crate) async fn start(
        &self,
        tasks: &Tasks,
        id: &str,
        command: Vec<String>,
        starting: impl Future<Output = Result<SandboxProcess, Status>> + Send + 'static,
    ) -> Result<(), Status> {
        let running = self.running.clone();
        let work = async move { Ok(Arc::new(Process::of(command, starting.await?, running))) };
        self.all.get_or_do(tasks, id, work).await.map(|_| ())
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Process>, Status> {
        let found = self.all.get(id);
        found.ok_or_else(|| Status::not_found(format!("there is no process {id}")))
    }

    /// Those that have not ended.
    pub(crate) fn running(&self) -> Vec<Running> {
        let all = self.all.all().into_iter();
        let running = all.filter(|process| process.exited().is_none());
        running
            .map(|process| Running {
                command: process.command.clone(),
                is_input_open: !process.stdin.stands().is_closed,
            })
            .collect()
    }

    /// Until nothing has run for as long as `limit`.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        let mut running = self.running.subscribe();
        loop {
            // The sender is ours, so there is always an answer.
            let _ = running.wait_for(|count| *count == 0).await;
            let busy = running.wait_for(|count| *count > 0);
            if tokio::time::timeout(limit, busy).await.is_err() {
                return;
            }
        }
    }
}

impl Process {
    fn of(command: Vec<String>, started: SandboxProcess, running: watch::Sender<usize>) -> Self {
        let (tell_exit, exit) = watch::channel(None);
        let ended = started.exit;
        running.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            let exit = ended.await.unwrap_or(ProcessExit::Signal(9));
            let _ = tell_exit.send(Some(exit));
            running.send_modify(|count| *count -= 1);
        });
        Self {
            command,
            stdout: Printed::of(started.stdout),
            stderr: Printed::of(started.stderr),
            stdin: Stdin::new(started.stdin),
            exit,
            _kill: started.kill,
        }
    }

    pub(crate) fn exited(&self) -> Option<ProcessExit> {
        *self.exit.borrow()
    }

    pub(crate) async fn wait(&self) -> Option<ProcessExit> {
        let mut exit = self.exit.clone();
        let exit = exit.wait_for(Option::is_some).await.ok()?;
        *exit
    }
}

impl Printed {
    fn of(mut stream: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        let (print, printed) = watch::channel((Vec::new(), false));
        tokio::spawn(async move {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut piece).await {
                print.send_modify(|(all, _)| all.extend_from_slice(&piece[..count]));
            }
            print.send_modify(|(_, ended)| *ended = true);
        });
        Self(printed)
    }

    /// What comes at `offset`, once it is there; nothing at the end.
    pub(crate) async fn at(&self, offset: u64, most: usize) -> Result<Vec<u8>, Status> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut printed = self.0.clone();
        let there = printed
            .wait_for(|(all, ended)| all.len() > from || *ended)
            .await;
        let there = there.map_err(|_| Status::internal("the reader is gone"))?;
        let rest = there.0.get(from..).ok_or_else(|| {
            Status::out_of_range(format!("byte {offset} of {} bytes", there.0.len()))
        })?;
        Ok(rest[..rest.len().min(most)].to_vec())
    }
}

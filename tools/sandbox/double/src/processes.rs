//! Processes, with all that they printed and where their input stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pullwright_core::sandbox::{KillSwitch, ProcessExit, SandboxProcess};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tonic::Status;

/// The processes of one sandbox.
#[derive(Default)]
pub(crate) struct Processes {
    /// By the ids that clients gave them.
    all: Mutex<BTreeMap<String, Arc<Process>>>,
    running: watch::Sender<usize>,
}

pub(crate) struct Process {
    pub(crate) stdout: Printed,
    pub(crate) stderr: Printed,
    stdin: AsyncMutex<Stdin>,
    exit: watch::Receiver<Option<ProcessExit>>,
    _kill: KillSwitch,
}

struct Stdin {
    writer: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    written: u64,
}

/// What was printed, and whether more may come.
pub(crate) struct Printed(watch::Receiver<(Vec<u8>, bool)>);

impl Processes {
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Process>, Status> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no process {id}")))
    }

    pub(crate) fn add(&self, id: &str, started: SandboxProcess) {
        let (tell_exit, exit) = watch::channel(None);
        let (ended, running) = (started.exit, self.running.clone());
        running.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            let exit = ended.await.unwrap_or(ProcessExit::Signal(9));
            let _ = tell_exit.send(Some(exit));
            running.send_modify(|count| *count -= 1);
        });
        let process = Process {
            stdout: Printed::of(started.stdout),
            stderr: Printed::of(started.stderr),
            stdin: AsyncMutex::new(Stdin {
                writer: Some(started.stdin),
                written: 0,
            }),
            exit,
            _kill: started.kill,
        };
        self.lock().insert(id.to_owned(), Arc::new(process));
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Writes `data`, which belongs at `offset`. What is there already is not written again.
    pub(crate) async fn write(&self, offset: u64, data: &[u8], eof: bool) -> Result<(), Status> {
        let mut stdin = self.stdin.lock().await;
        let Some(known) = stdin.written.checked_sub(offset) else {
            return Err(Status::out_of_range(format!(
                "byte {offset} of the input, but {} are there",
                stdin.written
            )));
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = data.get(known..).unwrap_or_default();
        if !new.is_empty() {
            let Some(writer) = &mut stdin.writer else {
                return Err(Status::failed_precondition("the input is closed"));
            };
            let written = async {
                writer.write_all(new).await?;
                writer.flush().await
            };
            // A process that takes no more is no fault of the network.
            if written.await.is_err() {
                stdin.writer = None;
            }
            stdin.written += new.len() as u64;
        }
        if eof && let Some(mut writer) = stdin.writer.take() {
            let _ = writer.shutdown().await;
        }
        Ok(())
    }

    /// How much input is there, and whether it is closed.
    pub(crate) async fn input(&self) -> (u64, bool) {
        let stdin = self.stdin.lock().await;
        (stdin.written, stdin.writer.is_none())
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

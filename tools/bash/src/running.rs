//! The life of one command, from its start to its end.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::process::Child;
use tokio::time::timeout;

use crate::capture::{Capture, Printed};
use crate::orphans;
use crate::tree::Tree;

/// How long to wait, after the shell has ended, for what still holds its output or is about to end.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// How often to ask whether the processes behind an ended shell have ended too.
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

/// How long a command may take to clean up after itself before it is killed.
const TERMINATE_GRACE: Duration = Duration::from_millis(300);

/// How long to wait for the end of a killed shell: it may hang in the kernel.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// A started command. Dropping it kills its processes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) tree: Tree,
    pub(crate) shell: Child,
    pub(crate) printed: Printed,
    /// A long script is read from here as it runs.
    pub(crate) _script: Option<NamedTempFile>,
}

/// Why a command is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The shell ended.
    Exited(ExitStatus),
    /// It took too long.
    TimedOut,
    /// Nobody wants the answer any more.
    Cancelled,
}

impl Running {
    /// Waits for the end of the command, reading what it prints.
    pub(crate) async fn end(
        &mut self,
        limit: Duration,
        cancelled: impl Future<Output = ()>,
        capture: &Capture,
    ) -> io::Result<End> {
        let (shell, printed) = (&mut self.shell, &mut self.printed);
        let end = tokio::select! {
            status = beside(shell.wait(), printed.read_into(capture)) => End::Exited(status?),
            () = tokio::time::sleep(limit) => End::TimedOut,
            () = cancelled => End::Cancelled,
        };
        if let End::Exited(_) = end {
            // What the shell itself wrote is in the pipe; a process behind it may have more, and one
            // that has closed its output may still be on its way out.
            let _ = timeout(DRAIN_LIMIT, self.drained(capture)).await;
            orphans::reap();
        } else {
            self.kill(capture).await;
        }
        Ok(end)
    }

    async fn drained(&mut self, capture: &Capture) {
        self.printed.read_into(capture).await;
        while self.tree.outlives_shell() {
            tokio::time::sleep(LEAVE_PAUSE).await;
        }
    }

    /// Whether the command left processes in the background.
    pub(crate) fn left_processes(&self) -> bool {
        !self.printed.ended() || self.tree.outlives_shell()
    }

    /// Ends every process of the command: with a moment to clean up, then without.
    pub(crate) async fn kill(&mut self, capture: &Capture) {
        self.tree.terminate();
        let leave = async { tokio::join!(self.shell.wait(), self.printed.read_into(capture)) };
        let _ = timeout(TERMINATE_GRACE, leave).await;
        let _ = tokio::task::spawn_blocking(self.tree.killer()).await;
        let _ = timeout(REAP_LIMIT, self.shell.wait()).await;
        let _ = timeout(DRAIN_LIMIT, self.printed.read_into(capture)).await;
    }
}

/// Runs `main` to its end, with `side` beside it for as long as both have something to do.
async fn beside<T>(main: impl Future<Output = T>, side: impl Future<Output = ()>) -> T {
    tokio::pin!(main);
    tokio::select! {
        out = &mut main => return out,
        () = side => {}
    }
    main.await
}

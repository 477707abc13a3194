//! What goes on for a run that does not wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pullwright_protocol::RunId;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The tasks of all runs.
#[derive(Debug, Default)]
pub(super) struct Background(Mutex<Vec<(RunId, JoinHandle<()>)>>);

impl Background {
    /// Carries out `task` whatever becomes of who asks for it. A process that is ending does not.
    pub(super) fn spawn(&self, run: &RunId, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut tasks = self.tasks();
        tasks.retain(|(_, task)| !task.is_finished());
        tasks.push((run.clone(), runtime.spawn(task)));
    }

    /// Waits until nothing goes on for `run`.
    pub(super) async fn over(&self, run: &RunId) {
        // What ends may have begun something else.
        while let Some(task) = self.take(run) {
            // One that broke is over, too.
            let _ = task.await;
        }
    }

    fn take(&self, run: &RunId) -> Option<JoinHandle<()>> {
        let mut tasks = self.tasks();
        let at = tasks.iter().position(|(owner, _)| owner == run)?;
        Some(tasks.swap_remove(at).1)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<(RunId, JoinHandle<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

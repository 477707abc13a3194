//! What goes on beside the calls.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts what goes on until the double ends, and ends it then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(CancellationToken);

impl Tasks {
    /// Goes on with `work` whoever waits for it. It answers nothing where the double ends before it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(work))
    }

    /// Ends all of it, and whatever is begun later.
    pub(crate) fn end(&self) {
        self.0.cancel();
    }
}

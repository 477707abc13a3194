//! Work that is done once, however often and by however many it is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use tonic::Status;

use crate::tasks::Tasks;

/// What came of the work of each key.
#[derive(Debug)]
pub(crate) struct Once<T>(Mutex<BTreeMap<String, Arc<OnceCell<T>>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Once<T> {
    /// What came of the `work` of `key`, which goes on where nobody waits for it. What failed is done again.
    pub(crate) async fn get_or_do(
        &self,
        tasks: &Tasks,
        key: &str,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let cell = self.cell(key);
        let doing = tasks.spawn(async move { cell.get_or_try_init(|| work).await.cloned() });
        let broke = || Err(Status::internal("the work broke off"));
        doing.await.ok().flatten().unwrap_or_else(broke)
    }

    /// The same where the work is done.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.cells().get(key)?.get().cloned()
    }

    /// What came of all work that is done.
    pub(crate) fn all(&self) -> Vec<T> {
        let cells = self.cells();
        cells
            .values()
            .filter_map(|cell| cell.get().cloned())
            .collect()
    }

    fn cell(&self, key: &str) -> Arc<OnceCell<T>> {
        Arc::clone(self.cells().entry(key.to_owned()).or_default())
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OnceCell<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What the owners of runs are allowed: runs that are taken up again count as theirs, as when they were started.

use std::fmt::Debug;

use async_trait::async_trait;
use pullwright_core::store::StoreError;

/// Knows what the owners of runs are allowed.
#[async_trait]
pub trait Owners: Debug + Send + Sync {
    /// How many runs of this owner may be under way at the same time, where it has a limit of its own.
    ///
    /// # Errors
    /// When what knows it fails.
    async fn max_concurrent(&self, owner: &str) -> Result<Option<usize>, StoreError>;
}

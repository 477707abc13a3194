//! What the owners of runs are allowed: their keys say it, and for those without a key the configuration.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_core::store::StoreError;

use super::store::AccessStore;
use crate::runs::Owners;

/// The owners of runs by their API keys.
#[derive(Clone)]
pub struct KeyOwners {
    store: Arc<dyn AccessStore>,
    configured: HashMap<&'static str, Option<usize>>,
}

impl KeyOwners {
    /// Those whose keys are in this store.
    #[must_use]
    pub fn new(store: Arc<dyn AccessStore>) -> Self {
        Self {
            store,
            configured: HashMap::new(),
        }
    }

    /// Those, and an owner without a key, of whom so many runs may be under way at the same time.
    #[must_use]
    pub fn and(mut self, owner: &'static str, max_concurrent: Option<usize>) -> Self {
        self.configured.insert(owner, max_concurrent);
        self
    }
}

#[async_trait]
impl Owners for KeyOwners {
    async fn max_concurrent(&self, owner: &str) -> Result<Option<usize>, StoreError> {
        if let Some(configured) = self.configured.get(owner) {
            return Ok(*configured);
        }
        // A name is given again once its key is revoked, so the latest is the good one if any is.
        let keys = self.store.keys().await?;
        let key = keys.into_iter().rfind(|key| key.name == owner);
        Ok(key.and_then(|key| key.grant.max_concurrent))
    }
}

impl fmt::Debug for KeyOwners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOwners")
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}

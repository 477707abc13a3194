//! Which run follows which, and what came of idempotency keys.

use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;

use super::SqliteStore;
use crate::store::failure::failed;

const FOLLOWER: &str = "SELECT id FROM runs WHERE follows = ?";
/// As the index of keys has it.
const KEYED: &str = "SELECT id FROM runs \
     WHERE coalesce(owner, '') = coalesce(?, '') AND idempotency_key = ?";

impl SqliteStore {
    pub(super) async fn follower_of(&self, run: &RunId) -> Result<Option<RunId>, StoreError> {
        let found = sqlx::query_scalar(FOLLOWER).bind(&run.0);
        let found = found.fetch_optional(self.reader.pool()).await;
        let found = found.map_err(failed("looking for who follows a run"))?;
        Ok(found.map(RunId))
    }

    pub(super) async fn run_of_key(
        &self,
        owner: Option<&str>,
        key: &str,
    ) -> Result<Option<RunId>, StoreError> {
        let found = sqlx::query_scalar(KEYED).bind(owner).bind(key);
        let found = found.fetch_optional(self.reader.pool()).await;
        let found = found.map_err(failed("looking for a key's run"))?;
        Ok(found.map(RunId))
    }
}

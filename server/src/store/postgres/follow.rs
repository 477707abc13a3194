//! Which run follows which, and what came of idempotency keys.

use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;

const FOLLOWER: &str = "SELECT id FROM runs WHERE follows = $1";
/// As the index of keys has it.
const KEYED: &str = "SELECT id FROM runs \
     WHERE coalesce(owner, '') = coalesce($1, '') AND idempotency_key = $2";

impl PostgresStore {
    pub(super) async fn follower_of(&self, run: &RunId) -> Result<Option<RunId>, StoreError> {
        let question = || sqlx::query(FOLLOWER).bind(&run.0);
        let found = self
            .reader
            .ask("looking for who follows a run", question, id);
        Ok(found.await?.pop())
    }

    pub(super) async fn run_of_key(
        &self,
        owner: Option<&str>,
        key: &str,
    ) -> Result<Option<RunId>, StoreError> {
        let question = || sqlx::query(KEYED).bind(owner).bind(key);
        let found = self.reader.ask("looking for a key's run", question, id);
        Ok(found.await?.pop())
    }
}

fn id(row: &PgRow) -> Result<RunId, sqlx::Error> {
    row.try_get("id").map(RunId)
}

//! The sealed tokens of callers. The runs' own writer keeps and removes them.

use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;

const GET: &str = "SELECT sealed_token FROM runs WHERE id = $1";

impl PostgresStore {
    pub(super) async fn sealed_token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        let question = || sqlx::query(GET).bind(&run.0);
        let sealed = |row: &PgRow| row.try_get::<Option<Vec<u8>>, _>("sealed_token");
        let found = self.reader.ask("reading a token", question, sealed);
        Ok(found.await?.pop().flatten())
    }
}

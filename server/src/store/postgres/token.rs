//! The sealed tokens of callers. They are rare, and written beside the runs' own writer, which removes them.

use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::RunId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;

const PUT: &str = "UPDATE runs SET sealed_token = $1 WHERE id = $2 AND epoch = $3 AND outcome IS NULL \
     RETURNING id";
const GET: &str = "SELECT sealed_token FROM runs WHERE id = $1";

impl PostgresStore {
    pub(super) async fn put_sealed_token(
        &self,
        run: &RunId,
        epoch: Epoch,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let question = || {
            sqlx::query(PUT)
                .bind(sealed)
                .bind(&run.0)
                .bind(epoch.0.cast_signed())
        };
        let id = |row: &PgRow| row.try_get::<String, _>("id");
        let put = self.reader.ask("keeping a token", question, id).await?;
        match put.is_empty() {
            true => Err(StoreError::Fenced(run.clone())),
            false => Ok(()),
        }
    }

    pub(super) async fn sealed_token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        let question = || sqlx::query(GET).bind(&run.0);
        let sealed = |row: &PgRow| row.try_get::<Option<Vec<u8>>, _>("sealed_token");
        let found = self.reader.ask("reading a token", question, sealed);
        Ok(found.await?.pop().flatten())
    }
}

//! The sealed tokens of callers. They are rare, and written beside the runs' own writer, which removes them.

use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::RunId;

use super::SqliteStore;
use crate::store::failure::failed;

const PUT: &str = "UPDATE runs SET sealed_token = ? WHERE id = ? AND epoch = ? AND outcome IS NULL";
const GET: &str = "SELECT sealed_token FROM runs WHERE id = ?";

impl SqliteStore {
    pub(super) async fn put_sealed_token(
        &self,
        run: &RunId,
        epoch: Epoch,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let put = sqlx::query(PUT)
            .bind(sealed)
            .bind(&run.0)
            .bind(epoch.0.cast_signed())
            .execute(&self.access)
            .await;
        match put.map_err(failed("keeping a token"))?.rows_affected() {
            0 => Err(StoreError::Fenced(run.clone())),
            _ => Ok(()),
        }
    }

    pub(super) async fn sealed_token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Result<Option<Option<Vec<u8>>>, _> = sqlx::query_scalar(GET)
            .bind(&run.0)
            .fetch_optional(self.reader.pool())
            .await;
        Ok(sealed.map_err(failed("reading a token"))?.flatten())
    }
}

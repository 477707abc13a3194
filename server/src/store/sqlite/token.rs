//! The sealed tokens of callers. The runs' own writer keeps and removes them.

use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;

use super::SqliteStore;
use crate::store::failure::failed;

const GET: &str = "SELECT sealed_token FROM runs WHERE id = ?";

impl SqliteStore {
    pub(super) async fn sealed_token(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Result<Option<Option<Vec<u8>>>, _> = sqlx::query_scalar(GET)
            .bind(&run.0)
            .fetch_optional(self.reader.pool())
            .await;
        Ok(sealed.map_err(failed("reading a token"))?.flatten())
    }
}

//! Messages for the models of runs. They are rare, and written beside the runs' own writer.

use pullwright_core::store::{MAX_MESSAGES, Message, NewMessage, StoreError};
use pullwright_protocol::RunId;

use super::SqliteStore;
use crate::store::failure::failed;

const POST: &str = "INSERT INTO messages (run, id, text, at_ms) \
     SELECT id, ?, ?, ? FROM runs WHERE id = ? AND outcome IS NULL \
       AND (SELECT count(*) FROM messages WHERE run = runs.id) < ? \
     ON CONFLICT (id) DO NOTHING";
const POSTED: &str = "SELECT number FROM messages WHERE id = ?";
const OF_ID: &str = "SELECT run, number, text FROM messages WHERE id = ?";
const MESSAGES: &str = "SELECT number, text FROM messages WHERE run = ? ORDER BY number";

impl SqliteStore {
    /// The number of the message; nothing where it was not taken.
    pub(super) async fn post_message(&self, new: &NewMessage) -> Result<Option<u64>, StoreError> {
        let what = "leaving a message";
        let posted = sqlx::query(POST)
            .bind(&new.id)
            .bind(&new.text)
            .bind(new.at_ms.cast_signed())
            .bind(&new.run.0)
            .bind(i64::try_from(MAX_MESSAGES).unwrap_or(i64::MAX))
            .execute(&self.access)
            .await;
        posted.map_err(failed(what))?;
        let number: Result<Option<i64>, _> = sqlx::query_scalar(POSTED)
            .bind(&new.id)
            .fetch_optional(&self.access)
            .await;
        let number = number.map_err(failed(what))?;
        Ok(number.map(i64::cast_unsigned))
    }

    pub(super) async fn messages_of(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        let rows: Result<Vec<(i64, String)>, _> = sqlx::query_as(MESSAGES)
            .bind(&run.0)
            .fetch_all(self.reader.pool())
            .await;
        let rows = rows.map_err(failed("reading messages"))?;
        let message = |(number, text): (i64, String)| Message {
            number: number.cast_unsigned(),
            text,
        };
        Ok(rows.into_iter().map(message).collect())
    }

    pub(super) async fn message_of_id(
        &self,
        id: &str,
    ) -> Result<Option<(RunId, Message)>, StoreError> {
        let row: Result<Option<(String, i64, String)>, _> = sqlx::query_as(OF_ID)
            .bind(id)
            .fetch_optional(self.reader.pool())
            .await;
        let row = row.map_err(failed("reading a message"))?;
        Ok(row.map(|(run, number, text)| {
            let number = number.cast_unsigned();
            (RunId(run), Message { number, text })
        }))
    }
}

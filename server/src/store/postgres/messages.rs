//! Messages for the models of runs. They go by the reader's connections; a statement that is carried out
//! again after a failure finds its own message.

use pullwright_core::store::{MAX_MESSAGES, Message, NewMessage, StoreError};
use pullwright_protocol::RunId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;

const POST: &str = "WITH known AS (SELECT number FROM messages WHERE id = $2), \
     posted AS (\
       INSERT INTO messages (run, id, text, at_ms) \
       SELECT id, $2, $3, $4 FROM runs WHERE id = $1 AND outcome IS NULL \
         AND NOT EXISTS (SELECT 1 FROM known) \
         AND (SELECT count(*) FROM messages WHERE run = $1) < $5 \
       RETURNING number) \
     SELECT number FROM known UNION ALL SELECT number FROM posted";
const OF_ID: &str = "SELECT run, number, text FROM messages WHERE id = $1";
const MESSAGES: &str = "SELECT number, text FROM messages WHERE run = $1 ORDER BY number";

impl PostgresStore {
    /// The number of the message; nothing where it was not taken.
    pub(super) async fn post_message(&self, new: &NewMessage) -> Result<Option<u64>, StoreError> {
        let most = i64::try_from(MAX_MESSAGES).unwrap_or(i64::MAX);
        let question = || {
            sqlx::query(POST)
                .bind(&new.run.0)
                .bind(&new.id)
                .bind(&new.text)
                .bind(new.at_ms.cast_signed())
                .bind(most)
        };
        let number = |row: &PgRow| row.try_get::<i64, _>("number");
        let posted = self.reader.ask("leaving a message", question, number);
        Ok(posted.await?.pop().map(i64::cast_unsigned))
    }

    pub(super) async fn messages_of(&self, run: &RunId) -> Result<Vec<Message>, StoreError> {
        let question = || sqlx::query(MESSAGES).bind(&run.0);
        self.reader.ask("reading messages", question, message).await
    }

    pub(super) async fn message_of_id(
        &self,
        id: &str,
    ) -> Result<Option<(RunId, Message)>, StoreError> {
        let question = || sqlx::query(OF_ID).bind(id);
        let of_run = |row: &PgRow| Ok((RunId(row.try_get("run")?), message(row)?));
        let found = self.reader.ask("reading a message", question, of_run);
        Ok(found.await?.pop())
    }
}

fn message(row: &PgRow) -> Result<Message, sqlx::Error> {
    Ok(Message {
        number: row.try_get::<i64, _>("number")?.cast_unsigned(),
        text: row.try_get("text")?,
    })
}

//! What people say to the models of runs.

use pullwright_core::log::now_ms;
use pullwright_core::store::{NewMessage, Posted};
use pullwright_protocol::RunId;

use super::{Runs, StartError};

impl Runs {
    /// Leaves a message for a run's model, which hears it before its next turn, wherever the run is.
    ///
    /// # Errors
    /// When the text is refused, there is no such run, or the store fails.
    pub async fn say(&self, run: &RunId, text: String) -> Result<Posted, StartError> {
        let limits = &self.shared.config.request;
        limits.check_message(&text).map_err(StartError::Refused)?;
        let message = NewMessage {
            id: uuid::Uuid::now_v7().to_string(),
            run: run.clone(),
            text,
            at_ms: now_ms(),
        };
        Ok(self.shared.store.post(message).await?)
    }
}

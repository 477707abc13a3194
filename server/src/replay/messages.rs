//! Says to the model again what people had said to it, at the same place.

use std::collections::VecDeque;
use std::sync::Arc;

use pullwright_core::log::now_ms;
use pullwright_core::store::{NewMessage, RunStore, StoreError};
use tokio::sync::Mutex;

use super::recording::{Heard, Progress};

/// The messages of a recording, which are left in the store once the run has come as far as the recorded one
/// had when its model heard them.
pub(super) struct Messages {
    store: Arc<dyn RunStore>,
    state: Mutex<State>,
}

struct State {
    reached: Progress,
    left: VecDeque<Heard>,
}

impl Messages {
    /// Those that were heard, for the only run of `store`.
    #[must_use]
    pub(super) fn new(store: Arc<dyn RunStore>, heard: &[Heard]) -> Self {
        let state = State {
            reached: Progress::default(),
            left: heard.iter().cloned().collect(),
        };
        Self {
            store,
            state: Mutex::new(state),
        }
    }

    /// Notes that a model answers.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn answered(&self) -> Result<(), StoreError> {
        self.state.lock().await.reached.answers += 1;
        self.say_due().await
    }

    /// Notes that work is taken in.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn taken_in(&self) -> Result<(), StoreError> {
        self.state.lock().await.reached.works += 1;
        self.say_due().await
    }

    /// Says what is to be heard where the run is now.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn say_due(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        while let Some(heard) = state.next_due() {
            self.say(heard.text, state.left.len()).await?;
        }
        Ok(())
    }

    /// A message that the store does not take any more is missing in the replay, which tells so.
    async fn say(&self, text: String, left: usize) -> Result<(), StoreError> {
        let Some(run) = self.store.list(1).await?.pop() else {
            return Ok(());
        };
        let message = NewMessage {
            id: format!("{left} before the last"),
            run: run.id,
            text,
            at_ms: now_ms(),
        };
        self.store.post(message).await.map(drop)
    }
}

impl State {
    fn next_due(&mut self) -> Option<Heard> {
        let Progress { answers, works } = self.reached;
        let is_due =
            |heard: &&mut Heard| heard.after.answers <= answers && heard.after.works <= works;
        self.left.front_mut().filter(is_due)?;
        self.left.pop_front()
    }
}

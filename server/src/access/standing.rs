//! Which keys are over, for those who stay connected after the gate.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::log::now_ms;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::key::KeyState;
use super::store::AccessStore;

/// How often keys are looked at while somebody is connected: how long a stream goes on at most after its
/// key was revoked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The ids of the keys that are over. One that is over stays so.
pub(super) type Over = Arc<HashSet<String>>;

/// One look for all who are connected, however many they are.
pub(super) struct Standing {
    over: watch::Sender<Over>,
    _looking: AbortOnDropHandle<()>,
}

impl Standing {
    pub(super) fn start(store: Arc<dyn AccessStore>) -> Self {
        let over = watch::Sender::new(Over::default());
        let looking = tokio::spawn(look(store, over.clone()));
        Self {
            over,
            _looking: AbortOnDropHandle::new(looking),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Over> {
        self.over.subscribe()
    }
}

async fn look(store: Arc<dyn AccessStore>, over: watch::Sender<Over>) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if over.receiver_count() == 0 {
            continue;
        }
        match store.keys().await {
            Ok(keys) => {
                let now = now_ms();
                let dead = keys
                    .into_iter()
                    .filter(|key| key.state(now) != KeyState::Live);
                over.send_replace(Arc::new(dead.map(|key| key.id).collect()));
            }
            Err(error) => tracing::warn!(%error, "the API keys cannot be looked at"),
        }
    }
}

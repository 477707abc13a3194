//! Listening for changes of the tool list in the era that has subscriptions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::RoleClient;
use rmcp::model::SubscriptionFilter;
use rmcp::service::{Peer, ServiceError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// How often in a row a subscription that ends at once is made again, and the pause before: a server
/// or a proxy may end one for its own reasons, and one that always does is not to be asked for ever.
const MAX_SHORT_SUBSCRIPTIONS: u32 = 5;
const SUBSCRIPTION_PAUSE: Duration = Duration::from_secs(1);

/// What lasts this long did not end at once.
const LONG_SUBSCRIPTION: Duration = Duration::from_secs(20);

/// A subscription that lives as long as its connection.
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    /// Subscribes where the server has said that its list may change; the older era sends its
    /// notices unasked.
    pub(super) fn start(peer: &Peer<RoleClient>, list_changed: &Arc<Notify>) -> Option<Self> {
        let info = peer.peer_info()?;
        let tools = info.capabilities.tools.as_ref()?;
        if info.protocol_version.has_initialize() || tools.list_changed != Some(true) {
            return None;
        }
        let listening = listen(peer.clone(), Arc::clone(list_changed));
        Some(Self(tokio::spawn(listening.in_current_span())))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(peer: Peer<RoleClient>, list_changed: Arc<Notify>) {
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let mut short_ones = 0;
    while short_ones < MAX_SHORT_SUBSCRIPTIONS {
        let started = Instant::now();
        match peer.listen(filter.clone()).await {
            Ok(mut subscription) => {
                while let Ok(Some(_)) = subscription.next().await {
                    list_changed.notify_one();
                }
            }
            Err(ServiceError::McpError(error)) => {
                tracing::debug!(%error, "the server takes no subscription to its tool list");
                return;
            }
            Err(error) => tracing::debug!(%error, "no subscription to the tool list"),
        }
        short_ones = match started.elapsed() >= LONG_SUBSCRIPTION {
            true => 0,
            false => short_ones + 1,
        };
        tokio::time::sleep(SUBSCRIPTION_PAUSE).await;
        // Something may have changed while nobody listened.
        list_changed.notify_one();
    }
}
